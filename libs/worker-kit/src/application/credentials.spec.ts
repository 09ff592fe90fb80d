import { describe, expect, it } from 'vitest';
import type { BackendConfig } from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { usageReader } from '@meritorder/usage-core';
import { CredentialedUpstream, CredentialPools } from './credentialed-upstream.js';
import { CredentialPool } from './credential-pool.js';
import { UpstreamError, type Credential, type ProviderRequest, type ProviderUpstream } from './ports.js';

const [a, b, c] = ['a', 'b', 'c'].map((id): Credential => ({ id, baseUrl: 'http://x', apiKey: `secret-${id}` }));
const clock = new ManualClock(0);
const pool = (...credentials: Credential[]) => new CredentialPool(credentials, () => clock.nowMs());
const ids = (of: CredentialPool, calls: number): string =>
  Array.from({ length: calls }, () => of.take()?.id ?? '-').join('');

describe('the credentials of a backend', () => {
  it('have the calls spread over them: the fewest in flight first, then whoever rested longest', () => {
    const three = pool(a!, b!, c!);
    expect(ids(three, 7)).toBe('abcabca');
    three.giveBack(b!);
    three.giveBack(b!);
    expect(ids(three, 3)).toBe('bbc');
  });

  it('out of quota are passed over for as long as they say, and nobody waits while another is free', () => {
    const two = pool(a!, b!);
    two.take();
    two.giveBack(a!, { code: 'quota', retryAfterSeconds: 30 });
    expect(ids(two, 3)).toBe('bbb');
    expect(two.freeInMs).toBe(0);
    clock.advance(29_999);
    expect(ids(two, 1)).toBe('b');
    clock.advance(1);
    expect(ids(two, 1)).toBe('a');
  });

  it('all cooling down are none, until the first is free', () => {
    const two = pool(a!, b!);
    two.take();
    two.giveBack(a!, { code: 'quota', retryAfterSeconds: 30 });
    two.take();
    two.giveBack(b!, { code: 'quota', retryAfterSeconds: 10 });
    expect(two.take()).toBeUndefined();
    expect(two.freeInMs).toBe(10_000);
    clock.advance(10_000);
    expect(ids(two, 1)).toBe('b');
  });

  it('that do not say for how long cool down for a second, doubled up to a minute, and again for one after a success', () => {
    const one = pool(a!);
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      one.take();
      one.giveBack(a!, { code: 'quota' });
      waits.push(one.freeInMs / 1_000);
      clock.advance(one.freeInMs);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    one.take();
    one.giveBack(a!);
    one.take();
    one.giveBack(a!, { code: 'quota' });
    expect(one.freeInMs).toBe(1_000);
  });

  it('that are refused are left alone for a minute; an hour is the longest that any is', () => {
    const one = pool(a!);
    one.take();
    one.giveBack(a!, { code: 'credential' });
    expect(one.freeInMs).toBe(60_000);
    one.giveBack(a!, { code: 'quota', retryAfterSeconds: 86_400 });
    expect(one.freeInMs).toBe(3_600_000);
  });

  it('that a provider asks to leave alone for seven seconds are said to be, whatever time passes meanwhile', () => {
    let ms = 0;
    const one = new CredentialPool([a!], () => ++ms);
    one.take();
    expect(one.giveBack(a!, { code: 'quota', retryAfterSeconds: 7 })).toBe(7_000);
    expect(one.freeInMs).toBeLessThan(7_000);
  });

  it('are not cooled down by failures that are the backend’s or the request’s', () => {
    const one = pool(a!);
    for (const code of ['server-error', 'caller-fault', 'timeout', 'cut', 'content-filter'] as const) {
      one.take();
      one.giveBack(a!, { code });
      expect(one.freeInMs).toBe(0);
    }
  });
});

describe('a call with credentials', () => {
  const used: string[] = [];
  const refused = (code: UpstreamError['code'], message = 'no', retryAfterSeconds?: number) =>
    new UpstreamError(code, message, { retryable: true, sent: true, refusedUpstream: true, retryAfterSeconds });
  function upstream(credentials: Credential[], answer: (request: ProviderRequest) => Error | undefined) {
    const wire: ProviderUpstream = {
      dialect: 'openai-chat',
      complete: async (request) => {
        used.push(request.credential.id);
        const error = answer(request);
        if (error) throw error;
        return {};
      },
      stream: async function* (request) {
        used.push(request.credential.id);
        yield '{}';
        const error = answer(request);
        if (error) throw error;
        yield '{}';
      },
      close: async () => {},
    };
    const backend = { id: 'x' } as BackendConfig;
    const pools = new CredentialPools(
      [backend],
      () => credentials,
      () => clock.nowMs(),
    );
    const request = {
      backend,
      attemptId: 't',
      body: {},
      stream: false,
      includeUsage: false,
      deadlineMs: 0,
      firstTokenTimeoutMs: 0,
      signal: new AbortController().signal,
      reader: usageReader('openai-chat'),
      headers: {},
    };
    used.length = 0;
    return { call: new CredentialedUpstream(wire, pools), request, pool: pools.of(backend) };
  }
  const failure = async (run: Promise<unknown>): Promise<UpstreamError> =>
    run.then(
      () => expect.unreachable('it was answered'),
      (error: UpstreamError) => error,
    );

  it('that one is refused for quota says that another is free, then that none is and for how long, and then is not sent', async () => {
    const { call, request } = upstream([a!, b!], ({ credential }) =>
      refused('quota', '429', credential.id === 'a' ? 20 : 5),
    );
    expect((await failure(call.complete(request))).details).toMatchObject({ again: true, sent: true });
    const second = await failure(call.complete(request));
    expect(second.details).toMatchObject({ retryAfterSeconds: 5, sent: true });
    expect(second.details.again).toBeUndefined();
    const third = await failure(call.complete(request));
    expect(third).toMatchObject({ code: 'quota', details: { retryAfterSeconds: 5, sent: false, retryable: true } });
    expect(used).toEqual(['a', 'b']);
  });

  it('streams are given back when they end, are cut, or nobody reads on', async () => {
    let error: Error | undefined;
    const { call, request, pool: of } = upstream([a!], () => error);
    for await (const _ of call.stream(request)) break;
    for await (const _ of call.stream(request));
    error = refused('cut');
    await expect(async () => {
      for await (const _ of call.stream(request));
    }).rejects.toThrow('no');
    expect(of.inFlight).toBe(0);
  });

  it('never tells a secret that a server quotes', async () => {
    const { call, request } = upstream([a!], () => refused('caller-fault', 'bad key secret-a in the header'));
    expect((await failure(call.complete(request))).message).toBe('bad key *** in the header');
  });
});
