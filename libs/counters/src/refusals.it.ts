import { describe, expect, it } from 'vitest';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { flat, useCounters, win } from './fixture.for-tests.js';
import type { BindingAccount, BindingBudget, CandidateWindow, Counters, ReserveCandidate } from './index.js';

const fixture = useCounters();
const { reserve } = fixture;

const amounts = async () => (await fixture.counters.inspectWindows()).map(({ limitNanos: _limit, ...w }) => w);
/** Settles so much in a budget that the next request finds it spent. */
async function spend(nanos: bigint, ...windows: CandidateWindow[]): Promise<void> {
  const asked = windows.map((w) => ({ ...w, limitNanos: MAX_COUNTER_NANOS, limitVersion: 0 }));
  expect(await reserve('spent-before', flat(nanos, ...asked))).toMatchObject({ type: 'granted' });
  await fixture.counters.settle('spent-before', { cashNanos: nanos, fullNanos: nanos });
}
const staged = (stages: CandidateWindow['stages']): CandidateWindow => ({ ...win('b', 100n), stages });
const instance = (n: number, maxInstances = 1): CandidateWindow => ({
  ...win(`each--000000000000000${n}`, 100n),
  maxInstances,
});
const rated = (rate: Partial<ReserveCandidate['accountRate']>): ReserveCandidate => ({
  ...flat(1n, win('b', 100n)),
  accountRate: { account: 'p', tokens: 1, ...rate },
});

interface Row {
  before?: (counters: Counters) => Promise<unknown>;
  ask: ReserveCandidate;
  refused: Partial<BindingBudget> | Partial<BindingAccount>;
}

describe('a candidate is refused', () => {
  it.each<[string, Row]>([
    [
      'exhausted, by a limit below its bound',
      { ask: flat(10n, win('b', 9n)), refused: { kind: 'exhausted', limitNanos: 9n, neededNanos: 10n } },
    ],
    ['exhausted, by a limit of zero', { ask: flat(1n, win('b', 0n)), refused: { kind: 'exhausted', limitNanos: 0n } }],
    [
      'exhausted, by what is settled',
      {
        before: () => spend(6n, win('b', 15n)),
        ask: flat(10n, win('b', 15n)),
        refused: { kind: 'exhausted', settledNanos: 6n },
      },
    ],
    [
      'exhausted, by a charge that is unconfirmed',
      {
        before: async (c) => {
          await reserve('x', flat(10n, win('b', 15n)));
          await c.open('x');
          await c.unconfirm('x');
        },
        ask: flat(10n, win('b', 15n)),
        refused: { kind: 'exhausted', unconfirmedNanos: 10n, reservedNanos: 0n },
      },
    ],
    [
      'held, by requests in flight, with the earliest lease (pitfall 36)',
      {
        before: () => reserve('x', flat(10n, win('b', 15n))),
        ask: flat(10n, win('b', 15n)),
        refused: { kind: 'held', reservedNanos: 10n, earliestLeaseInMs: expect.any(Number) },
      },
    ],
    [
      'exhausted, not held, when another window lasts: retrying soon would not help',
      {
        before: () => reserve('x', flat(10n, win('soon', 15n))),
        ask: flat(10n, win('soon', 15n), win('lasting', 9n)),
        refused: { kind: 'exhausted', budget: 'lasting' },
      },
    ],
    [
      'by the ancestor that binds, though its own budget has room',
      { ask: flat(10n, win('team', 1_000n), win('org', 9n)), refused: { kind: 'exhausted', budget: 'org' } },
    ],
    [
      'local-only, at its share',
      {
        before: () => spend(80n, win('b', 100n)),
        ask: flat(1n, staged({ localOnlyFromNanos: 80n })),
        refused: { kind: 'stage', stage: 'local-only' },
      },
    ],
    [
      'reject, at its share',
      {
        before: () => spend(80n, win('b', 100n)),
        ask: flat(1n, staged({ rejectFromNanos: 80n })),
        refused: { kind: 'stage', stage: 'reject' },
      },
    ],
    [
      'reject, also when it is local and costs something in the basis',
      {
        before: () => spend(80n, win('b', 100n)),
        ask: { ...flat(1n, staged({ rejectFromNanos: 80n })), local: true },
        refused: { kind: 'stage', stage: 'reject' },
      },
    ],
    [
      'throttled, with the time to the next one',
      {
        before: async () => {
          await spend(50n, win('b', 100n));
          await reserve('x', flat(1n, staged({ throttles: [{ fromNanos: 50n, requestsPerMinute: 6 }] })));
        },
        ask: flat(1n, staged({ throttles: [{ fromNanos: 50n, requestsPerMinute: 6 }] })),
        refused: { kind: 'throttled', retryInMs: expect.closeTo(10_000, -3.5) },
      },
    ],
    [
      'instances, when its template has as many as it may (pitfall 2)',
      { before: () => reserve('x', flat(1n, instance(1))), ask: flat(1n, instance(2)), refused: { kind: 'instances' } },
    ],
    [
      "rate, by the account's requests a minute",
      {
        before: () => reserve('x', rated({ requestsPerMinute: 6 })),
        ask: rated({ requestsPerMinute: 6 }),
        refused: {
          kind: 'rate',
          account: 'p',
          short: 'requests',
          limitPerMinute: 6,
          retryInMs: expect.closeTo(10_000, -3.5),
        },
      },
    ],
    [
      "rate, by the account's tokens a minute",
      {
        before: () => reserve('x', rated({ tokensPerMinute: 1_000, tokens: 90 })),
        ask: rated({ tokensPerMinute: 1_000, tokens: 90 }),
        refused: { kind: 'rate', short: 'tokens', asked: 90, retryInMs: expect.any(Number) },
      },
    ],
    [
      'rate without a time to retry, when it alone is above the limit',
      {
        ask: rated({ tokensPerMinute: 1_000, tokens: 1_001 }),
        refused: { kind: 'rate', short: 'tokens', retryInMs: undefined },
      },
    ],
  ])('%s', async (_name, { before, ask, refused }) => {
    await before?.(fixture.counters);
    const amountsBefore = await amounts();
    const reply = await reserve('new', ask);
    expect(reply).toMatchObject({ type: 'refused', candidates: [refused] });
    // Nothing is left of a refusal.
    expect(await amounts()).toEqual(amountsBefore);
    expect(await fixture.counters.open('new')).toEqual({ type: 'done', was: 'unknown' });
  });

  it('range, when an amount cannot be counted exactly, told which', async () => {
    expect(await reserve('a', flat(1n, win('wide', MAX_COUNTER_NANOS + 1n)))).toEqual({
      type: 'range',
      message: expect.stringMatching(/limit of wide is beyond 2\^53/),
    });
    expect(
      await reserve('a', {
        ...flat(1n, win('b', 9n)),
        cash: { fixedNanos: MAX_COUNTER_NANOS, perOutputTokenNanos: 1n },
      }),
    ).toEqual({
      type: 'range',
      message: expect.stringMatching(/bound of b/),
    });
  });

  it('too-many-budgets, above 64 windows, and 64 are admitted', async () => {
    const windows = Array.from({ length: 65 }, (_, i) => win(`b${i}`, 10n));
    expect(await reserve('a', flat(1n, ...windows))).toEqual({ type: 'too-many-budgets', backend: 'b', count: 65 });
    expect(await reserve('a', flat(1n, ...windows.slice(1)))).toMatchObject({ type: 'granted' });
    expect(await fixture.counters.inspectWindows()).toHaveLength(64);
  });
});

describe('a spent cash budget (invariant 11, pitfalls 23 and 24)', () => {
  const every = {
    preferLocalFromNanos: 1n,
    throttles: [{ fromNanos: 1n, requestsPerMinute: 1 }],
    localOnlyFromNanos: 1n,
    rejectFromNanos: 1n,
  };
  it.each<[string, CandidateWindow]>([
    ['by its limit', win('b', 100n)],
    ['by far, after its limit was lowered', win('b', 10n)],
    ['by every stage', staged(every)],
  ])('%s leaves capacity usable that costs no cash', async (_name, window) => {
    await spend(100n, win('b', 100n));
    const local: ReserveCandidate = { ...flat(0n, window), backend: 'local', local: true };
    for (const attempt of ['a', 'b', 'c']) {
      expect(await reserve(attempt, flat(10n, window), local)).toMatchObject({ type: 'granted', candidateIndex: 1 });
      await fixture.counters.settle(attempt, { cashNanos: 0n, fullNanos: 0n });
    }
  });

  it('refuses the paid fallback of a free candidate', async () => {
    await spend(100n, win('b', 100n));
    expect(await reserve('fallback', flat(1n, win('b', 100n)))).toMatchObject({ type: 'refused' });
  });
});

describe('prefer-local', () => {
  const near = staged({ preferLocalFromNanos: 50n });
  const local = (nanos: bigint): ReserveCandidate => ({ ...flat(nanos, win('b', 100n)), local: true });

  it('lets local candidates go before the first that the budget would pay, and only from its share on', async () => {
    expect(await reserve('before', flat(1n, near), local(2n))).toMatchObject({ candidateIndex: 0 });
    await spend(50n, win('b', 100n));
    expect(await reserve('after', flat(1n, near), flat(1n, near), local(2n))).toMatchObject({
      candidateIndex: 2,
      // The second was not looked at: it stands behind own hardware as the first does.
      passedOver: [{ candidateIndex: 0, binding: { kind: 'stage', stage: 'prefer-local', budget: 'b' } }],
    });
  });

  it('does not push back what the budget does not pay, and falls back to cloud when no local one fits', async () => {
    await spend(50n, win('b', 100n));
    expect(await reserve('other', flat(1n, win('another', 9n)), flat(1n, near), local(2n))).toMatchObject({
      candidateIndex: 0,
    });
    expect(await reserve('full', flat(1n, near), local(60n))).toMatchObject({ candidateIndex: 0 });
  });
});

describe('templates', () => {
  it('of 8 first requests at once of an unseen customer with room for one, one is admitted (pitfall 2)', async () => {
    const window: CandidateWindow = { ...win('each--0123456789abcdef', 10n), maxInstances: 10 };
    const replies = await Promise.all(Array.from({ length: 8 }, (_, i) => reserve(`a${i}`, flat(10n, window))));
    expect(replies.filter((r) => r.type === 'granted')).toHaveLength(1);
  });

  it('of 50 unseen customers at once as many get an instance as the template may have, and those stay served', async () => {
    const of = (i: number): CandidateWindow => ({
      ...win(`each--${String(i).padStart(16, '0')}`, 10n),
      maxInstances: 20,
    });
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => reserve(`a${i}`, flat(1n, of(i)))));
    expect(replies.filter((r) => r.type === 'granted')).toHaveLength(20);
    const served = replies.findIndex((r) => r.type === 'granted');
    expect(await reserve('again', flat(1n, of(served)))).toMatchObject({ type: 'granted' });
    // Another window has its own count.
    expect(await reserve('next', flat(1n, { ...of(49), window: '2026-12' }))).toMatchObject({ type: 'granted' });
  });

  it('a rebuild restores how many instances there are', async () => {
    for (const i of [1, 2]) await reserve(`a${i}`, flat(1n, instance(i, 2)));
    const windows = await fixture.counters.inspectWindows();
    await fixture.counters.beginEpoch(++fixture.epoch);
    await fixture.counters.loadWindows(fixture.epoch, windows);
    expect(await fixture.counters.openEpoch(fixture.epoch, 2)).toBe('ok');
    expect(await reserve('known', flat(1n, instance(1, 2)))).toMatchObject({ type: 'granted' });
    expect(await reserve('unseen', flat(1n, instance(3, 2)))).toMatchObject({ candidates: [{ kind: 'instances' }] });
  });
});

describe('rates', () => {
  it('a refused request uses nothing of them, and neither does a repeated one', async () => {
    const ask = rated({ requestsPerMinute: 6 });
    await reserve('poor', { ...ask, windows: [win('poor', 0n)] });
    expect(await reserve('a', ask)).toMatchObject({ type: 'granted' });
    expect(await reserve('a', ask)).toMatchObject({ type: 'granted' });
    const refused = await reserve('b', ask);
    expect(refused).toMatchObject({ candidates: [{ kind: 'rate' }] });
  });

  it('the quota of an org is one over all its candidates and clients, another org has its own, and what is refused uses nothing', async () => {
    const ask = (attemptId: string, org: string, ...candidates: ReserveCandidate[]) =>
      fixture.counters.reserve({
        attemptId,
        leaseMs: 60_000,
        candidates,
        orgRate: { org, requestsPerMinute: 6 },
      });
    const fits = flat(1n, win('b', 100n));
    expect(await ask('poor', 'acme', flat(10n, win('poor', 0n)))).toMatchObject({
      candidates: [{ kind: 'exhausted' }],
    });
    expect(await ask('a', 'acme', fits)).toMatchObject({ type: 'granted' });
    expect(await ask('a', 'acme', fits)).toMatchObject({ type: 'granted' });
    const refused = { kind: 'org-rate', org: 'acme', limitPerMinute: 6, retryInMs: expect.closeTo(10_000, -3.5) };
    expect(await ask('b', 'acme', fits, { ...fits, local: true })).toMatchObject({ candidates: [refused, refused] });
    expect(await ask('c', 'globex', fits)).toMatchObject({ type: 'granted' });
  });

  it('an account at its limit gives the request to the next candidate, and the grant says so, once', async () => {
    await reserve('a', rated({ requestsPerMinute: 1 }));
    const next = (): Promise<unknown> => reserve('b', rated({ requestsPerMinute: 1 }), flat(1n, win('b', 100n)));
    expect(await next()).toMatchObject({
      candidateIndex: 1,
      left: [{ budget: 'b', leftNanos: 98n }],
      passedOver: [{ candidateIndex: 0, binding: { kind: 'rate', short: 'requests', limitPerMinute: 1 } }],
    });
    const again = await next();
    expect(again).toMatchObject({ candidateIndex: 1 });
    expect(again).not.toHaveProperty('passedOver');
  });

  it('of 100 requests at once a limit of 60 a minute admits its burst of 6, through four clients', async () => {
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, i) => reserve(`a${i}`, rated({ requestsPerMinute: 60 }))),
    );
    // One more for each second and a bit that the burst took.
    const granted = replies.filter((r) => r.type === 'granted').length;
    expect(granted).toBeGreaterThanOrEqual(6);
    expect(granted).toBeLessThanOrEqual(60);
  });
});
