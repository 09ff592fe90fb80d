import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '@meritorder/contracts';
import type { DispatchRequest } from './dispatch-request.js';
import type { DispatchOutcome } from './outcome.js';
import { oncePerKey } from './once-per-key.js';
import type { KeyLog, KeyUse } from './ports.js';

const ANSWERED: DispatchOutcome = { ended: 'answered' };

function memoryLog(): KeyLog & { uses: Map<string, KeyUse> } {
  const uses = new Map<string, KeyUse>();
  return {
    uses,
    claim: async (org, key, use) => {
      const name = `${org}.${key}`;
      if (!uses.has(name)) uses.set(name, use);
      return uses.get(name)!;
    },
    answered: async (org, key, use) => void uses.set(`${org}.${key}`, use),
    free: async (org, key) => void uses.delete(`${org}.${key}`),
  };
}

const request = (
  requestId: string,
  {
    key = 'k',
    org = 'acme',
    text = 'hi',
    isJob = false,
  }: { key?: string; org?: string; text?: string; isJob?: boolean } = {},
): DispatchRequest =>
  ({
    requestId,
    isJob,
    kind: 'chat',
    attribution: { org },
    body: { model: 'auto', messages: [{ role: 'user', content: text }], meritorder: { idempotency_key: key } },
  }) as unknown as DispatchRequest;

const refusal = (code: ErrorCode): DispatchOutcome => ({ ended: 'refused', refusal: { code, message: code } });

describe('an idempotency key (pitfall 35)', () => {
  it('runs the first request; the same later is told of it', async () => {
    const keys = memoryLog();
    expect(await oncePerKey(keys, request('r1'), async () => ANSWERED)).toEqual(ANSWERED);
    expect(await oncePerKey(keys, request('r2'), neverRun)).toMatchObject({
      refusal: { code: 'request_duplicate', details: { first_request_id: 'r1', state: 'answered' } },
    });
  });

  it('the same while the first runs is told so, also with the same request id', async () => {
    const keys = memoryLog();
    await oncePerKey(keys, request('r1'), async () => {
      expect(await oncePerKey(keys, request('r1'), neverRun)).toMatchObject({
        refusal: { code: 'request_duplicate', details: { state: 'in-flight' } },
      });
      return ANSWERED;
    });
  });

  it('of another request is an error that says nothing of the first', async () => {
    const keys = memoryLog();
    await oncePerKey(keys, request('r1'), async () => ANSWERED);
    const reused = await oncePerKey(keys, request('r2', { text: 'other' }), neverRun);
    expect(reused).toMatchObject({ refusal: { code: 'idempotency_key_reused' } });
    expect(JSON.stringify(reused)).not.toContain('r1');
  });

  it('is one for each org and each text', async () => {
    const keys = memoryLog();
    for (const each of [request('r1'), request('r2', { org: 'globex' }), request('r3', { key: 'l' })])
      expect(await oncePerKey(keys, each, async () => ANSWERED)).toEqual(ANSWERED);
  });

  it.each<[ErrorCode, string]>([
    ['budget_held', 'free'],
    ['backend_failed', 'free'],
    ['deadline_exceeded', 'taken'],
    ['stream_cut', 'taken'],
    ['cancelled', 'taken'],
  ])('after %s is %s', async (code, then) => {
    const keys = memoryLog();
    await oncePerKey(keys, request('r1'), async () => refusal(code));
    expect(keys.uses.size).toBe(then === 'free' ? 0 : 1);
  });

  it('a job that is delivered again goes on with its own key', async () => {
    const keys = memoryLog();
    await expect(
      oncePerKey(keys, request('j1', { isJob: true }), () => Promise.reject(new Error('the router died'))),
    ).rejects.toThrow('died');
    expect(await oncePerKey(keys, request('j1', { isJob: true }), async () => ANSWERED)).toEqual(ANSWERED);
    expect(await oncePerKey(keys, request('j2', { isJob: true }), neverRun)).toMatchObject({ ended: 'refused' });
  });

  it('that cannot be looked up runs nothing', async () => {
    const keys = { ...memoryLog(), claim: () => Promise.reject(new Error('no answer')) };
    expect(await oncePerKey(keys, request('r1'), neverRun)).toMatchObject({ refusal: { code: 'internal' } });
  });
});

async function neverRun(): Promise<DispatchOutcome> {
  throw new Error('must not run');
}
