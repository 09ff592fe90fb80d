import { describe, expect, it } from 'vitest';
import type { AttemptSignal } from './ports.js';
import { grant, Played, type World } from './played-dispatch.for-tests.js';

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const ends = (status: 'ok' | 'cancelled' | 'yielded'): AttemptSignal => ({ type: 'finished', attemptId: 'x', status });
const failed = (code: 'server-error' | 'caller-fault' = 'server-error'): AttemptSignal => ({
  type: 'failed',
  attemptId: 'x',
  retryable: code === 'server-error',
  code,
  message: 'said so',
});
const lost = (backend: string) => ({ backend, outcome: 'cancelled', code: 'hedge-lost' });

/** The first attempt is open and shows no token in time. */
async function slow(world: World = {}): Promise<Played> {
  const played = await new Played(world).quiet();
  await played.says('a', 'ready');
  return played.late();
}
/** And its hedge is open. */
async function hedged(world: World = {}): Promise<Played> {
  const played = await slow(world);
  expect(await played.says('b', 'ready')).toEqual({ type: 'go' });
  return played;
}
const reserved = ({ log }: Played): string[] => log.filter((l) => l.startsWith('reserve'));

describe('an attempt that shows no token in time', () => {
  it('gets a second one at another backend, reserved like any and on record as its hedge', async () => {
    const { log, works, decisions, counted, spent } = await slow();
    expect(log).toEqual(['request of auto null', 'reserve a b c', 'send a', 'reserve b', 'send b']);
    expect(works[0]).toMatchObject({ mayBeHedged: true });
    expect(works[0]!.terms.hedgeOf).toBeUndefined();
    expect(works[1]).toMatchObject({
      terms: { attemptNumber: 2, backend: 'b', hedgeOf: works[0]!.terms.attemptId },
      reason: expect.stringMatching(/^hedge, for a had shown no token in time; b: /),
    });
    expect(works[1]).not.toHaveProperty('mayBeHedged');
    expect(decisions[1]).toMatchObject({
      choice: 'b',
      attemptNumber: 2,
      hedgeOf: works[0]!.terms.attemptId,
      reason: works[1]!.reason,
    });
    expect(decisions[0]).not.toHaveProperty('hedgeOf');
    expect([counted, spent.length, spent[0]! > 0]).toEqual([['started'], 1, true]);
  });

  it('gets none that the rest of the cap has no room for, at the full length of its answer: both may be charged', async () => {
    const [uncapped] = (await slow()).decisions;
    const bound = Number(uncapped!.candidates[0]!.boundCashNanos);
    const sentUnder = async (nanos: number, wishes = {}) =>
      (await slow({ wishes: { max_cost_usd: (nanos / 1e9).toFixed(9), ...wishes } })).works.map((w) => w.terms.backend);
    expect(await sentUnder(2 * bound)).toEqual(['a', 'b']);
    expect(await sentUnder(2 * bound - 1)).toEqual(['a']);
    const capped = await slow({ tier: { maxCostUsd: ((2 * bound - 1) / 1e9).toFixed(9) } });
    expect(capped.works).toHaveLength(1);
    expect(capped.spent).toEqual([]);
  });

  it('gets none that would miss the deadline: nobody would hear of it, and it would be charged', async () => {
    const { works } = await slow({ wishes: { deadline_ms: 20_000 }, seconds: { a: 1, b: 30, c: 40 } });
    expect(works.map((w) => w.terms.backend)).toEqual(['a']);
    const next = await slow({ wishes: { deadline_ms: 20_000 }, seconds: { a: 1, b: 30, c: 10 } });
    expect(next.works.map((w) => w.terms.backend)).toEqual(['a', 'c']);
  });

  it('wins by its first token: the hedge is ended at once, and is listed', async () => {
    const played = await hedged();
    expect(await played.says('a', 'first-token')).toMatchObject({ type: 'noted', others: [lost('b')] });
    expect(played.log.at(-1)).toBe('stop b hedge-lost');
    await played.says('b', ends('yielded'));
    await played.says('a', ends('ok'));
    expect(await played.done).toEqual({ ended: 'answered' });
    expect(played.counted).toEqual(['started', 'lost']);
    expect([reserved(played), played.refusals]).toEqual([['reserve a b c', 'reserve b'], []]);
    expect(played.log).not.toContain('b failed');
  });

  it('and answers: nobody waits for the end of the hedge', async () => {
    const played = await hedged();
    await played.says('a', 'first-token');
    await played.says('a', ends('ok'));
    expect(played.outcome).toEqual({ ended: 'answered' });
    await played.says('b', ends('yielded'));
    expect(played.counted).toEqual(['started', 'lost']);
  });

  it('loses to the hedge that has its turn', async () => {
    const played = await hedged();
    await played.says('a', ends('yielded'));
    expect(played.outcome).toBeUndefined();
    expect(await played.says('b', 'first-token')).toMatchObject({ type: 'noted', others: [lost('a')] });
    await played.says('b', ends('ok'));
    expect(await played.done).toEqual({ ended: 'answered' });
    expect(played.counted).toEqual(['started', 'won']);
    expect(played.log.slice(-2)).toEqual(['b succeeded', 'close b']);
    expect(played.log).not.toContain('a succeeded');
  });

  it.each([
    ['a', 'b'],
    ['b', 'a'],
  ])('has one winner when both say that they begin: %s', async (first, second) => {
    const played = await hedged();
    expect(await played.says(first, 'first-token')).toMatchObject({ type: 'noted' });
    expect(await played.says(second, 'first-token')).toEqual({ type: 'yield' });
    expect(played.log.at(-1)).toBe(`stop ${second} hedge-lost`);
  });

  it('fails: the hedge goes on, and nothing is sent in its place', async () => {
    const played = await hedged();
    expect(await played.says('a', failed())).toEqual({ type: 'taken' });
    expect(played.outcome).toBeUndefined();
    expect(await played.says('b', 'first-token')).toMatchObject({
      type: 'noted',
      others: [{ backend: 'a', outcome: 'failed', code: 'server-error' }],
    });
    await played.says('b', ends('ok'));
    expect(await played.done).toEqual({ ended: 'answered' });
    expect([reserved(played).length, played.counted]).toEqual([2, ['started', 'won']]);
  });

  it('goes on where its hedge fails, or finds no worker; nothing is sent in its place', async () => {
    for (const signal of [failed(), { type: 'no-worker' } as const]) {
      const played = await slow();
      if (signal.type === 'failed') await played.says('b', 'ready');
      await played.says('b', signal);
      expect(played.outcome).toBeUndefined();
      expect(await played.says('a', 'first-token')).toMatchObject({
        others: [{ backend: 'b', outcome: expect.anything() }],
      });
      await played.says('a', ends('ok'));
      expect(await played.done).toEqual({ ended: 'answered' });
      expect([reserved(played).length, played.counted]).toEqual([2, ['started', 'lost']]);
      expect(played.log.includes('release')).toBe(signal.type === 'no-worker');
    }
  });

  it('fails as its hedge does: what was not tried is tried as ever, at the cost of a retry, and is not hedged again', async () => {
    const played = await hedged();
    await played.says('b', failed());
    await played.says('a', failed());
    expect(reserved(played)).toEqual(['reserve a b c', 'reserve b', 'reserve c']);
    expect(played.works[2]).toMatchObject({
      terms: { attemptNumber: 3 },
      earlierAttempts: [{ backend: 'b' }, { backend: 'a' }],
    });
    expect(played.works[2]).not.toHaveProperty('mayBeHedged');
    await played.says('c', 'ready');
    await played.late();
    await played.says('c', ends('ok'));
    expect(await played.done).toEqual({ ended: 'answered' });
    expect(reserved(played)).toHaveLength(3);
  });

  it('fails as its hedge does, with no retries left: the caller hears of it once', async () => {
    const played = await hedged({ retriesLeft: 0 });
    await played.says('a', failed());
    await played.says('b', failed());
    expect(await played.done).toMatchObject({ ended: 'refused' });
    expect(played.refusals).toMatchObject([{ code: 'backend_failed' }]);
  });

  it("is the caller's fault: it waits for the hedge all the same, and says so where that is no better", async () => {
    const one = await hedged();
    await one.says('a', failed('caller-fault'));
    await one.says('b', 'first-token');
    await one.says('b', ends('ok'));
    expect([await one.done, one.refusals]).toEqual([{ ended: 'answered' }, []]);
    const both = await hedged();
    await both.says('a', failed('caller-fault'));
    await both.says('b', failed());
    await both.done;
    expect([both.refusals, reserved(both).length]).toMatchObject([[{ code: 'upstream_rejected' }], 2]);
  });

  it('is lost with its worker: the hedge that asks gets the caller from the router', async () => {
    const played = await hedged();
    expect(await played.says('b', 'turn')).toBeUndefined();
    const reply = played.lastReply;
    await played.says('a', { type: 'silent', firstTokenSeen: false });
    expect(reply()).toMatchObject({ type: 'talk', attempt: { backend: 'a', outcome: 'failed' } });
    await played.says('b', 'first-token');
    await played.says('b', ends('ok'));
    expect([await played.done, played.refusals, reserved(played).length]).toEqual([{ ended: 'answered' }, [], 2]);
  });

  it('has begun when the hedge asks the router: the hedge yields', async () => {
    const played = await hedged();
    await played.says('b', 'turn');
    const reply = played.lastReply;
    await played.says('a', { type: 'heartbeat', attemptId: 'x', firstTokenSeen: true });
    expect(reply()).toEqual({ type: 'yield' });
  });

  it('is lost with its worker after its first token: the caller hears of it, not of the hedge', async () => {
    const played = await hedged();
    await played.says('a', 'first-token');
    await played.says('a', { type: 'silent', firstTokenSeen: true });
    await played.done;
    expect(played.refusals).toMatchObject([{ code: 'stream_cut' }]);
  });

  it('has its token before its hedge is opened: that one is not told to go', async () => {
    const played = await slow();
    await played.says('a', 'first-token');
    expect(await played.says('b', 'ready')).toMatchObject({ type: 'stop' });
    await played.says('a', ends('ok'));
    expect([await played.done, played.counted]).toEqual([{ ended: 'answered' }, ['started', 'lost']]);
  });

  it('has its token while its hedge is reserved: the hold goes back, and nothing is sent or on record', async () => {
    let granted = (): void => {};
    const gate = new Promise<void>((resolve) => (granted = resolve));
    const played = await slow({ reserve: (command) => gate.then(() => grant(command)) });
    await played.says('a', 'first-token');
    granted();
    await played.quiet();
    expect(played.log.slice(-2)).toEqual(['reserve b', 'release']);
    expect([played.works.length, played.decisions.length, played.counted]).toEqual([1, 1, []]);
    expect(sum(played.spent)).toBe(0);
  });

  it('fails while its hedge is reserved: the hedge is sent, and goes on', async () => {
    let granted = (): void => {};
    const gate = new Promise<void>((resolve) => (granted = resolve));
    const played = await slow({ reserve: (command) => gate.then(() => grant(command)) });
    await played.says('a', failed());
    granted();
    await played.quiet();
    await played.says('b', 'ready');
    await played.says('b', 'first-token');
    await played.says('b', ends('ok'));
    expect([await played.done, reserved(played).length]).toEqual([{ ended: 'answered' }, 2]);
  });

  it('neither of two has answered: the caller hears of that', async () => {
    const played = await hedged();
    await played.says('a', ends('yielded'));
    await played.says('b', ends('yielded'));
    await played.done;
    expect(played.refusals).toMatchObject([{ code: 'backend_failed' }]);
  });

  describe('cancelled by the caller,', () => {
    it('while both run: the one that has the turn says so, and the router is silent', async () => {
      const played = await hedged();
      played.cancel.abort();
      await played.says('b', ends('yielded'));
      await played.says('a', ends('cancelled'));
      expect([await played.done, played.refusals]).toEqual([{ ended: 'answered' }, []]);
    });

    it('before its hedge is opened: that one is not told to go', async () => {
      const played = await slow();
      played.cancel.abort();
      expect(await played.says('b', 'ready')).toMatchObject({ type: 'stop' });
      await played.says('a', ends('cancelled'));
      expect([await played.done, played.refusals]).toEqual([{ ended: 'answered' }, []]);
    });

    it('before it is late: no hedge is sent', async () => {
      const played = await new Played({}).quiet();
      await played.says('a', 'ready');
      played.cancel.abort();
      await played.late();
      expect(reserved(played)).toHaveLength(1);
    });
  });
});

describe('no hedge is sent', () => {
  it.each<[string, World, Partial<{ spent: number; reservations: number }>]>([
    [
      'where no budget has room for it',
      { reserve: () => ({ type: 'refused', decidedAtMicros: 0, candidates: [] }) },
      { spent: 2, reservations: 2 },
    ],
    [
      'where the counters cannot be asked',
      { reserve: () => Promise.reject(new Error('no Redis')) },
      { spent: 2, reservations: 2 },
    ],
    ['while admission is closed', { reserve: () => ({ type: 'epoch' }) }, { spent: 2, reservations: 2 }],
    ['where its own budget is spent', { hedgesLeft: 0 }, { spent: 1, reservations: 1 }],
    ['where there is no other backend', { backends: ['a'] }, { spent: 0, reservations: 1 }],
    ['for a job', { isJob: true }, { spent: 0, reservations: 1 }],
    ['for a tier that has none, whatever its route has', { tier: { hedging: false } }, { spent: 0, reservations: 1 }],
  ])('%s, and the attempt goes on', async (_name, world, { spent, reservations }) => {
    const played = await slow(world);
    expect([played.spent.length, reserved(played).length]).toEqual([spent, reservations]);
    if (spent === 2) expect(sum(played.spent)).toBe(0);
    expect([played.works.length, played.decisions.length, played.counted]).toEqual([1, 1, []]);
    await played.says('a', ends('ok'));
    expect([await played.done, played.refusals]).toEqual([{ ended: 'answered' }, []]);
  });

  it('once a first token is there', async () => {
    const played = await new Played({}).quiet();
    await played.says('a', 'ready');
    await played.says('a', 'first-token');
    await played.late();
    expect(reserved(played)).toHaveLength(1);
  });
});
