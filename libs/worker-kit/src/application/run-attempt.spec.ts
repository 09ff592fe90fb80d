import { describe, expect, it } from 'vitest';
import { WORKER_SPEAKS_MS, type PriceVersion, type UsageAttemptClosedV1 } from '@meritorder/contracts';
import { ManualClock } from '@meritorder/kernel';
import { answers, attempt, block, fails, price, streams, terms, usage, type World } from './attempt-world.for-tests.js';
import type { UpstreamRequest } from './ports.js';

/** As a wire has it whose call is aborted. */
const drains = (_request: UpstreamRequest, abort: AbortController): never => {
  abort.abort('draining');
  return fails('cancelled')();
};

describe('an attempt', () => {
  it('may go, is then sent, then closed, then answered', async () => {
    const { log, closed, finished } = await attempt({});
    expect(log).toEqual(['heartbeat', 'may go', 'upstream', 'heartbeat', 'closed finished', 'answer ok', 'finished']);
    expect(closed).toMatchObject([
      { outcome: 'finished', sent: true, usage, servedModel: 'm-2026', providerCallId: 'call-1' },
    ]);
    expect(finished[0].meritorder).toMatchObject({ cost: { usd: '0.0000072', basis: 'confirmed' }, usage });
  });

  it('streams chunks and ends with its receipt', async () => {
    const { log, finished } = await attempt({ stream: true });
    expect(log).toEqual([
      'heartbeat',
      'may go',
      'upstream',
      'heartbeat',
      'chunk 0',
      'chunk 1',
      'chunk 2',
      'closed finished',
      'answer ok',
      'finished',
    ]);
    expect(finished[0]).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [],
      meritorder: { backend: 'gpt-4-1-mini' },
    });
  });

  it.each<[string, World, string[], Partial<UsageAttemptClosedV1>]>([
    [
      'is not sent when the router says stop',
      { answer: { type: 'stop', reason: 'expired' } },
      ['heartbeat', 'may go', 'closed not-sent'],
      { sent: false, code: 'stopped' },
    ],
    [
      'is not sent when the other attempt has the caller',
      { answer: { type: 'stop', reason: 'hedge-lost' } },
      ['heartbeat', 'may go', 'closed not-sent'],
      { sent: false, code: 'hedge-lost' },
    ],
    [
      'is not sent when no router answers',
      { answer: undefined },
      ['heartbeat', 'may go', 'closed not-sent'],
      { sent: false, code: 'no-router' },
    ],
    ['is not even ready after its deadline', { nowMs: Date.parse(terms.deadlineAt) }, ['refused'], {}],
    [
      'that is refused upstream goes back to the router',
      { upstream: fails('server-error', { refusedUpstream: true }) },
      ['heartbeat', 'may go', 'upstream', 'closed failed', 'failed'],
      { refusedUpstream: true },
    ],
    [
      'that never connected was not sent',
      { upstream: fails('connect', { sent: false }) },
      ['heartbeat', 'may go', 'upstream', 'closed not-sent', 'failed'],
      { sent: false },
    ],
    [
      'ends the wait of the caller itself when no router takes the failure',
      { upstream: fails('timeout'), taken: false },
      ['heartbeat', 'may go', 'upstream', 'closed failed', 'failed', 'error backend_failed'],
      { sent: true },
    ],
    [
      'that breaks after the first token ends with an error',
      { stream: true, upstream: streams(2, fails('cut')) },
      [
        'heartbeat',
        'may go',
        'upstream',
        'heartbeat',
        'chunk 0',
        'chunk 1',
        'closed failed',
        'error stream_cut',
        'finished',
      ],
      { sent: true, code: 'cut' },
    ],
    [
      'whose reader stays away ends',
      { stream: true, readerLeavesAt: 1 },
      [
        'heartbeat',
        'may go',
        'upstream',
        'heartbeat',
        'chunk 0',
        'chunk 1',
        'closed failed',
        'error reader_away',
        'finished',
      ],
      { sent: true },
    ],
    [
      'that is cancelled in the middle says so and is unconfirmed',
      {
        stream: true,
        upstream: streams(1, (_r, abort) => {
          abort.abort('cancelled');
          throw new Error('aborted');
        }),
      },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'chunk 0', 'closed cancelled', 'answer cancelled', 'finished'],
      { outcome: 'cancelled', sent: true },
    ],
    [
      'that is cancelled before the first token says so',
      {
        stream: true,
        upstream: streams(0, (_r, abort) => {
          abort.abort('cancelled');
          throw new Error('aborted');
        }),
      },
      ['heartbeat', 'may go', 'upstream', 'closed cancelled', 'error cancelled', 'finished'],
      { outcome: 'cancelled', sent: true },
    ],
    [
      'whose worker ends before the first token goes back to the router',
      { stream: true, upstream: streams(0, drains) },
      ['heartbeat', 'may go', 'upstream', 'closed failed', 'failed'],
      { sent: true, code: 'draining' },
    ],
    [
      'whose worker ends in the middle of a stream says so at once',
      { stream: true, upstream: streams(1, drains) },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'chunk 0', 'closed failed', 'error stream_cut', 'finished'],
      { sent: true, code: 'draining' },
    ],
    [
      'whose worker ends before the call was not sent, and goes back to the router',
      { onCall: (abort) => abort.abort('draining') },
      ['heartbeat', 'may go', 'closed not-sent', 'failed'],
      { sent: false, code: 'draining' },
    ],
    [
      'that failed by itself while its worker ended says why',
      { upstream: (_r, abort) => (abort.abort('draining'), fails('quota', { refusedUpstream: true })()) },
      ['heartbeat', 'may go', 'upstream', 'closed failed', 'failed'],
      { refusedUpstream: true, code: 'quota' },
    ],
    [
      'with an unexpected error is closed all the same',
      {
        upstream: () => {
          throw new TypeError('bug');
        },
      },
      ['heartbeat', 'may go', 'upstream', 'closed failed', 'failed'],
      { sent: true, code: 'protocol' },
    ],
  ])('%s', async (_name, world, expected, close) => {
    const { log, closed } = await attempt(world);
    expect(log).toEqual(expected);
    expect(closed).toHaveLength(log.some((l) => l.startsWith('closed')) ? 1 : 0);
    if (closed[0]) expect(closed[0]).toMatchObject(close);
    expect(closed[0]?.usage).toBeUndefined();
  });

  it('whose worker ends may be run again by another worker of the same backend', async () => {
    const { sent } = await attempt({ upstream: (r, abort) => drains(r, abort) });
    expect(sent.at(-1)).toMatchObject({ type: 'failed', code: 'draining', retryable: true, again: true });
  });

  it('whose worker ends while a whole answer goes out in parts says that it is cut', async () => {
    const { log } = await attempt({
      onFinish: (abort) => (abort.abort('draining'), Promise.reject(new Error('aborted'))),
    });
    expect(log.slice(-3)).toEqual(['answer ok', 'error stream_cut', 'finished']);
  });

  it('that failed says whether it is known to have cost nothing, as metering will charge it', async () => {
    const told = async (upstream: World['upstream']) =>
      (await attempt({ upstream })).sent.find((e) => e.type === 'failed');
    expect(await told(fails('connect', { sent: false }))).toMatchObject({ costNothing: true });
    expect(await told(fails('server-error', { refusedUpstream: true }))).toMatchObject({ costNothing: true });
    expect(await told(fails('timeout'))).not.toHaveProperty('costNothing');
  });

  it('without usage and without an expected input costs its bound until somebody knows better', async () => {
    const { closed, finished } = await attempt({ upstream: async () => ({ choices: [] }) });
    expect(closed[0]!.usage).toBeUndefined();
    expect(finished[0].meritorder.cost).toMatchObject({ usd: '0.0022192', basis: 'unconfirmed' });
    expect(finished[0].meritorder.usage).toBeUndefined();
  });

  it('closes with what the backend said of itself and with the calls in flight when it began', async () => {
    const { closed } = await attempt({
      stream: true,
      upstream: streams(1, undefined, {
        usage: { ...block, prompt_time: 0.25, completion_time: 0.5 },
        service_tier: 'flex',
      }),
    });
    expect(closed[0]).toMatchObject({
      usage,
      usageBasis: 'reported',
      servedModel: 'm-2026',
      servedTier: 'flex',
      providerCallId: 'call-1',
      timings: { prefillTokens: 10, prefillMs: 250, decodeTokens: 2, decodeMs: 500 },
      concurrency: 3,
    });
  });

  it("is counted by the engine's timings where it sends nothing else", async () => {
    const timings = { prompt_n: 3, cache_n: 7, predicted_n: 2, prompt_ms: 1, predicted_ms: 2 };
    const { closed, finished } = await attempt({ stream: true, upstream: streams(1, undefined, { timings }) });
    expect(closed[0]).toMatchObject({
      usage: { inputTokens: 3, cacheReadTokens: 7, outputTokens: 2 },
      usageBasis: 'engine-timings',
    });
    expect(finished[0].meritorder.cost.basis).toBe('confirmed');
  });

  it('whose tokens do not add up, or are no counts, says so', async () => {
    const wrong = await attempt({
      stream: true,
      upstream: streams(1, undefined, { usage: { ...block, total_tokens: 5 } }),
    });
    expect(wrong.warned).toEqual(['usage of gpt-4-1-mini: the tokens do not add up to the total that was sent']);
    const corrupt = await attempt({
      stream: true,
      upstream: streams(1, undefined, { usage: { ...block, prompt_tokens: -1 } }),
    });
    expect(corrupt.warned).toEqual(['usage of gpt-4-1-mini: corrupt:input']);
    expect(corrupt.closed[0]!.usage).toBeUndefined();
    expect((await attempt({})).warned).toEqual([]);
  });
});

describe('pitfall 13: a client that leaves', () => {
  const expected = { work: { inputTokensExpected: 10.4 } };
  const leaves = (_request: UpstreamRequest, abort: AbortController): never => {
    abort.abort('cancelled');
    throw new Error('aborted');
  };
  const counted = async (chunks: number) => {
    const { closed } = await attempt({ ...expected, stream: true, upstream: streams(chunks, leaves) });
    return closed[0]!;
  };

  it.each([
    ['at byte 0', 0, 0],
    ['in the middle', 2, 4],
    ['after the last word', 5, 10],
  ])('of a stream %s: the expected input and what it was sent, marked as estimated', async (_when, chunks, words) => {
    const closed = await counted(chunks);
    expect(closed).toMatchObject({ outcome: 'cancelled', sent: true, usageBasis: 'estimated' });
    expect(closed.usage!.inputTokens).toBe(11);
    // Two of the commonest words are two tokens; the classes of characters are right within a half.
    expect(closed.usage!.outputTokens).toBeGreaterThanOrEqual(words);
    expect(closed.usage!.outputTokens).toBeLessThanOrEqual(words * 2);
  });

  it('of a stream after its usage was sent: what the backend counted', async () => {
    const upstream = async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
      yield* streams(1)(request, abort);
      leaves(request, abort);
    };
    const { closed } = await attempt({ ...expected, stream: true, upstream });
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', usage, usageBasis: 'reported' });
  });

  it('of an answer that is not streamed: nobody knows what was generated, so its bound stands', async () => {
    const upstream = (request: UpstreamRequest, abort: AbortController) =>
      Promise.reject(new Error()).catch(() => leaves(request, abort));
    const { closed } = await attempt({ ...expected, upstream });
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', sent: true });
    expect(closed[0]!.usage).toBeUndefined();
  });

  it('a call that was refused or never sent has no usage, estimated or not', async () => {
    for (const failure of [fails('quota', { refusedUpstream: true }), fails('connect', { sent: false })]) {
      const { closed } = await attempt({ ...expected, stream: true, upstream: streams(0, failure) });
      expect(closed[0]!.usage).toBeUndefined();
      expect(closed[0]!.usageBasis).toBeUndefined();
    }
  });

  it.each<[string, World]>([
    ['cut by the backend', { upstream: streams(2, fails('cut')) }],
    ['stopped by the router', { upstream: streams(2, (_r, abort) => (abort.abort('stopped'), fails('cut')())) }],
    ['whose reader stays away', { readerLeavesAt: 1 }],
    ['whose worker ends', { upstream: streams(2, drains) }],
  ])('and a stream %s is counted like that too', async (_name, world) => {
    const { closed } = await attempt({ ...expected, stream: true, ...world });
    expect(closed[0]).toMatchObject({ sent: true, usageBasis: 'estimated', usage: { inputTokens: 11 } });
    expect(closed[0]!.usage!.outputTokens).toBeGreaterThan(0);
  });
});

describe('an attempt that its router has given up says nothing to the caller, who may have the answer of another', () => {
  const freeze = ({ clock }: { clock: ManualClock }): void => clock.advance(WORKER_SPEAKS_MS + 1);
  it.each<[string, World, string[]]>([
    [
      'after a freeze before its first token',
      { stream: true, upstream: (r, a, world) => (freeze(world), streams(2)(r, a)) },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'closed cancelled'],
    ],
    [
      'after a freeze, with a whole answer',
      { upstream: (r, _a, world) => (freeze(world), answers(r)) },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'closed cancelled'],
    ],
    [
      'after a freeze, with a failure',
      { upstream: (_r, _a, world) => (freeze(world), fails('cut')()) },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'closed cancelled'],
    ],
    [
      'after a freeze in the middle of a stream',
      { stream: true, onChunk: (_seq, _abort, _json, world) => freeze(world) },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'chunk 0', 'heartbeat', 'closed cancelled'],
    ],
    [
      'when it was told to stop',
      { stream: true, onChunk: (_seq, abort) => abort.abort('stopped') },
      ['heartbeat', 'may go', 'upstream', 'heartbeat', 'chunk 0', 'closed cancelled'],
    ],
  ])('%s', async (_name, world, expected) => {
    const { log, closed } = await attempt(world);
    expect(log).toEqual(expected);
    expect(closed).toMatchObject([{ sent: true, code: 'stopped' }]);
  });

  it('goes on after a freeze when the router still waits for it, and asks again after the next', async () => {
    const asked: boolean[] = [];
    const { log, closed } = await attempt({
      stream: true,
      upstream: (r, a, world) => (freeze(world), streams(2)(r, a)),
      onChunk: (_seq, _abort, _json, world) => freeze(world),
      router: (event) => {
        if (event.type === 'heartbeat') asked.push(event.firstTokenSeen);
        return { type: event.type === 'heartbeat' ? 'heard' : 'go' };
      },
    });
    expect(log).toEqual([
      'heartbeat',
      'may go',
      'upstream',
      'heartbeat',
      'heartbeat',
      'chunk 0',
      'heartbeat',
      'chunk 1',
      'heartbeat',
      'closed finished',
      'answer ok',
      'finished',
    ]);
    expect(asked).toEqual([false, true, true]);
    expect(closed).toMatchObject([{ outcome: 'finished' }]);
  });

  it('says nothing on an answer of the router that took as long as a freeze', async () => {
    const clock = new ManualClock(Date.parse(terms.reservedAt));
    let asked = 0;
    const { log } = await attempt({
      stream: true,
      clock,
      upstream: (r, a) => (freeze({ clock }), streams(2)(r, a)),
      router: ({ type }) => {
        if (type === 'heartbeat' && ++asked === 1) freeze({ clock });
        return type === 'heartbeat' && asked === 2
          ? { type: 'stop', reason: 'given-up' }
          : { type: type === 'heartbeat' ? 'heard' : 'go' };
      },
    });
    expect(log).toEqual(['heartbeat', 'may go', 'upstream', 'heartbeat', 'heartbeat', 'closed cancelled']);
  });
});

describe('the receipt says what will be booked', () => {
  const silent = { stream: true, work: { inputTokensExpected: 10 }, upstream: streams(2, undefined, {}) };

  it.each<[string, World, string]>([
    ['own hardware: by the estimate, for there will never be an invoice', { backend: { kind: 'local' } }, 'estimated'],
    [
      'own hardware that is told to: by the bound',
      { backend: { kind: 'local', withoutUsage: 'bound' } },
      'unconfirmed',
    ],
    ['a cloud: by the bound, until its invoice comes', {}, 'unconfirmed'],
    ['a cloud that is told to: by the estimate', { backend: { withoutUsage: 'estimate' } }, 'estimated'],
  ])('without usage, %s (pitfall 18)', async (_name, world, basis) => {
    const { closed, finished } = await attempt({ ...silent, ...world });
    const receipt = finished[0].meritorder;
    expect(closed[0]).toMatchObject({ outcome: 'finished', usageBasis: 'estimated' });
    expect(receipt.cost.basis).toBe(basis);
    expect(receipt.usage).toEqual(basis === 'estimated' ? closed[0]!.usage : undefined);
    expect(Number(receipt.cost.usd)).toBeGreaterThan(0);
    expect(receipt.cost.usd === '0.0022192').toBe(basis === 'unconfirmed');
  });

  const rates = (input: string): PriceVersion['cash'] => ({
    ...price.cash,
    inputPicosPerToken: input,
    cacheReadPicosPerToken: input,
    outputPicosPerToken: '0',
    requestPicos: '0',
  });
  const card = (input: string, more: Partial<PriceVersion['cash']> = {}) => {
    const cash = { ...rates(input), ...more };
    return { ...price, cash, full: cash };
  };

  it('of the model that answered, where that is another one with prices', async () => {
    const other = { ...card('7000000'), id: 'pv-other', model: 'm' };
    const work = { price: card('1000000'), otherPrices: [other] };
    const { finished } = await attempt({ backend: { modelAliases: [] }, work });
    expect(finished[0].meritorder.cost).toMatchObject({ usd: '0.00007', price_version: 'pv-other' });
  });

  it('at the tier that was served, whatever was asked (pitfall 20)', async () => {
    const tiered = card('1000000', { serviceTiers: { flex: rates('500000') } });
    const costAt = async (service_tier: string) => {
      const upstream = streams(1, undefined, { usage: block, service_tier });
      const { finished } = await attempt({
        stream: true,
        work: { price: tiered, body: { service_tier: 'flex' } },
        upstream,
      });
      return finished[0].meritorder.cost.usd;
    };
    expect(await costAt('flex')).toBe('0.000005');
    expect(await costAt('default')).toBe('0.00001');
  });

  it('is not confirmed at a tier that has no price', async () => {
    const served = streams(1, undefined, { usage: block, service_tier: 'priority' });
    const work = { price: card('1000000') };
    const { finished } = await attempt({ stream: true, work, upstream: served });
    expect(finished[0].meritorder).toMatchObject({
      usage: { inputTokens: 10 },
      cost: { usd: '0.0022192', full_usd: '0.0022192', basis: 'unconfirmed' },
    });
  });

  it('at the price of the hour in which the attempt was closed', async () => {
    const banded = card('1000000', {
      timeBands: [{ fromUtc: '16:30', toUtc: '00:30', rates: rates('250000') }],
    });
    const costAt = async (time: string) => {
      const work = {
        price: banded,
        terms: { ...terms, deadlineAt: '2099-01-01T00:00:00.000Z' },
      };
      const { finished, closed } = await attempt({ work, nowMs: Date.parse(`2026-11-24T${time}:00Z`) });
      expect(closed[0]!.closedAt).toBe(`2026-11-24T${time}:00.000Z`);
      return finished[0].meritorder.cost.usd;
    };
    expect(await costAt('16:29')).toBe('0.00001');
    expect(await costAt('16:30')).toBe('0.0000025');
    expect(await costAt('00:30')).toBe('0.00001');
  });
});
