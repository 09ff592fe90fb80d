import { describe, expect, it } from 'vitest';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { flat, useCounters, win } from './fixture.for-tests.js';
import { Counters, type ReserveCandidate } from './index.js';

const fixture = useCounters();
const { reserve } = fixture;

describe('a reservation', () => {
  it('free local capacity is admitted when the cash budget is spent (invariant 11)', async () => {
    const cash = win('cash', 5n);
    const local: ReserveCandidate = { ...flat(0n, cash), backend: 'local' };
    expect(await reserve('a', flat(10n, cash), local)).toMatchObject({
      type: 'granted',
      candidateIndex: 1,
      cashNanos: 0n,
    });
  });

  it('output is clamped to what the tightest budget leaves', async () => {
    const candidate: ReserveCandidate = {
      backend: 'b',
      maxTokens: 1000,
      minTokens: 10,
      cash: { fixedNanos: 100n, perOutputTokenNanos: 7n },
      full: { fixedNanos: 200n, perOutputTokenNanos: 10n },
      windows: [win('org', 10_000n), win('team', 1_000n, 'full')],
    };
    expect(await reserve('a', candidate)).toMatchObject({
      type: 'granted',
      maxTokens: 80,
      cashNanos: 660n,
      fullNanos: 1_000n,
    });
    expect(await reserve('b', candidate)).toMatchObject({
      type: 'refused',
      candidates: [{ budget: 'team', kind: 'held' }],
    });
  });

  it('amounts beyond 2^53 are refused, and the edge is exact', async () => {
    expect(await reserve('a', flat(1n, win('b', MAX_COUNTER_NANOS + 1n)))).toMatchObject({ type: 'range' });
    expect(
      await reserve('b', {
        ...flat(MAX_COUNTER_NANOS - 1n, win('b', MAX_COUNTER_NANOS)),
        full: { fixedNanos: 0n, perOutputTokenNanos: 0n },
      }),
    ).toMatchObject({ type: 'granted' });
    expect(await reserve('c', flat(2n, win('b', MAX_COUNTER_NANOS)))).toMatchObject({ type: 'refused' });
    expect(await reserve('d', flat(1n, win('b', MAX_COUNTER_NANOS)))).toMatchObject({
      type: 'granted',
      left: [{ leftNanos: 0n }],
    });
  });

  it('a newer limit is in force for everyone, also for those who bring the old one', async () => {
    expect(await reserve('a', flat(10n, win('b', 100n)))).toMatchObject({ type: 'granted' });
    expect(await reserve('b', flat(10n, win('b', 15n, 'cash', 2)))).toMatchObject({ type: 'refused' });
    expect(await reserve('c', flat(10n, win('b', 100n, 'cash', 1)))).toMatchObject({
      type: 'refused',
      candidates: [{ limitNanos: 15n }],
    });
  });
});

describe('holds', () => {
  it('of 1,000 concurrent first requests through four clients, a budget that holds ten grants ten (pitfalls 1, 2)', async () => {
    const clients = await Promise.all(
      [1, 2, 3, 4].map(() => Counters.connect(fixture.redis.url, { commandTimeoutMs: 10_000 })),
    );
    const replies = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) =>
        clients[i % 4]!.reserve({
          attemptId: `a${i}`,
          leaseMs: 60_000,
          candidates: [flat(100n, win('org', 100_000n), win('cap', 1_000n))],
        }),
      ),
    );
    expect(replies.filter((r) => r.type === 'granted')).toHaveLength(10);
    expect(replies.filter((r) => r.type === 'refused')).toHaveLength(990);
    const cap = (await fixture.counters.inspectWindows()).find((w) => w.budget === 'cap')!;
    expect(cap).toMatchObject({ reservedNanos: 1_000n, peakNanos: 1_000n });
    await Promise.all(clients.map((c) => c.close()));
  });

  it('every verb repeated changes nothing', async () => {
    const w = win('b', 1_000n);
    const first = await reserve('a', flat(10n, w));
    expect(await reserve('a', flat(10n, w))).toMatchObject({ type: 'granted', cashNanos: 10n });
    expect(first).toMatchObject({ type: 'granted' });
    expect(await fixture.counters.open('a')).toEqual({ type: 'done', was: 'reserved' });
    expect(await fixture.counters.open('a')).toEqual({ type: 'done', was: 'opened' });
    expect(await fixture.counters.settle('a', { cashNanos: 7n, fullNanos: 9n })).toEqual({
      type: 'done',
      was: 'opened',
    });
    expect(await fixture.counters.settle('a', { cashNanos: 7n, fullNanos: 9n })).toEqual({
      type: 'done',
      was: 'settled',
    });
    expect(await fixture.counters.release('a')).toEqual({ type: 'done', was: 'settled' });
    expect(await fixture.counters.settle('never', { cashNanos: 7n, fullNanos: 9n })).toEqual({
      type: 'done',
      was: 'unknown',
    });
    expect(await fixture.counters.inspectWindows()).toMatchObject([
      { settledNanos: 7n, reservedNanos: 0n, unconfirmedNanos: 0n },
    ]);
  });

  it.each(['release', 'settle', 'unconfirm'] as const)('a hold of zero in one basis ends by %s', async (verb) => {
    const free: ReserveCandidate = {
      ...flat(0n, win('cash', 5n), win('full', 50n, 'full')),
      full: { fixedNanos: 9n, perOutputTokenNanos: 0n },
    };
    expect(await reserve('a', free)).toMatchObject({ type: 'granted', cashNanos: 0n, fullNanos: 9n });
    const reply =
      verb === 'settle'
        ? await fixture.counters.settle('a', { cashNanos: 0n, fullNanos: 4n })
        : await fixture.counters[verb]('a');
    expect(reply).toEqual({ type: 'done', was: 'reserved' });
    expect((await fixture.counters.inspectWindows()).map((w) => w.reservedNanos)).toEqual([0n, 0n]);
  });

  it('a hold never opened expires with its lease; an opened one never does (pitfall 3)', async () => {
    await fixture.counters.reserve({ attemptId: 'lost', leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    await fixture.counters.reserve({ attemptId: 'kept', leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    expect(await fixture.counters.open('kept')).toMatchObject({ was: 'reserved' });
    const expired = await waitFor(async () => {
      const ids = await fixture.counters.expireDue();
      return ids.length > 0 && ids;
    }, 'the lease to end');
    expect(expired).toEqual(['lost']);
    expect(await fixture.counters.expireDue()).toEqual(['lost']);
    await fixture.counters.forgetLeases(expired);
    expect(await fixture.counters.expireDue()).toEqual([]);
    expect(await fixture.counters.open('lost')).toEqual({ type: 'done', was: 'expired' });
    expect(await fixture.counters.inspectWindows()).toMatchObject([{ reservedNanos: 10n }]);
  });
});

describe('epochs (invariant 6)', () => {
  it('nothing is admitted without one', async () => {
    await fixture.raw.flushall();
    expect(await reserve('a', flat(1n, win('b', 10n)))).toEqual({ type: 'epoch' });
    expect(await fixture.counters.settle('a', { cashNanos: 1n, fullNanos: 1n })).toEqual({ type: 'epoch' });
  });

  it('a deleted window closes admission instead of opening a new one (pitfall 6)', async () => {
    await reserve('a', flat(10n, win('b', 10n)));
    await fixture.raw.del(`{mo}:e${fixture.epoch}:w:b:total`);
    expect(await reserve('b', flat(10n, win('b', 10n)))).toEqual({ type: 'epoch' });
    expect((await fixture.counters.refreshEpoch()).epoch?.state).toBe('broken');
  });

  it('a deleted set of windows closes admission too', async () => {
    await reserve('a', flat(10n, win('b', 10n)));
    await fixture.raw.del(`{mo}:e${fixture.epoch}:windows`);
    expect(await reserve('b', flat(10n, win('c', 10n)))).toEqual({ type: 'epoch' });
  });

  it('a server with another run id admits nothing, although its epoch key is valid (promoted stale replica)', async () => {
    await fixture.raw.hset('{mo}:epoch', 'runId', 'another');
    await fixture.counters.refreshEpoch();
    expect(await reserve('a', flat(1n, win('b', 10n)))).toEqual({ type: 'epoch' });
  });

  it('a limit that was loaded with its version is not undone by whoever knows an older one', async () => {
    await fixture.counters.beginEpoch(++fixture.epoch);
    const amounts = { settledNanos: 0n, unconfirmedNanos: 0n, reservedNanos: 0n, peakNanos: 0n };
    await fixture.counters.loadWindows(fixture.epoch, [
      { budget: 'b', window: 'total', limitNanos: 5n, limitVersion: 2, ...amounts },
    ]);
    expect(await fixture.counters.openEpoch(fixture.epoch, 1)).toBe('ok');
    expect(await reserve('a', flat(10n, win('b', 100n)))).toMatchObject({ candidates: [{ limitNanos: 5n }] });
  });

  it('what was loaded counts, and a late settle finds its hold', async () => {
    await fixture.counters.beginEpoch(++fixture.epoch);
    await fixture.counters.loadWindows(fixture.epoch, [
      {
        budget: 'b',
        window: 'total',
        limitNanos: 100n,
        settledNanos: 50n,
        unconfirmedNanos: 5n,
        reservedNanos: 20n,
        peakNanos: 0n,
      },
    ]);
    await fixture.counters.loadHolds(fixture.epoch, [
      {
        attemptId: 'open',
        state: 'opened',
        cashNanos: 20n,
        fullNanos: 20n,
        windows: [{ budget: 'b', window: 'total', basis: 'cash' }],
      },
      {
        attemptId: 'unsure',
        state: 'unconfirmed',
        cashNanos: 5n,
        fullNanos: 5n,
        windows: [{ budget: 'b', window: 'total', basis: 'cash' }],
      },
    ]);
    expect(await reserve('early', flat(1n, win('b', 100n)))).toEqual({ type: 'epoch' });
    expect(await fixture.counters.openEpoch(fixture.epoch, 2)).toBe('incomplete');
    expect(await fixture.counters.openEpoch(fixture.epoch, 1)).toBe('ok');
    expect(await reserve('x', flat(26n, win('b', 100n)))).toMatchObject({
      type: 'refused',
      candidates: [{ kind: 'held' }],
    });
    await fixture.counters.settle('open', { cashNanos: 3n, fullNanos: 3n });
    await fixture.counters.settle('unsure', { cashNanos: 1n, fullNanos: 1n });
    expect(await fixture.counters.inspectWindows()).toMatchObject([
      { settledNanos: 54n, unconfirmedNanos: 0n, reservedNanos: 0n },
    ]);
  });

  it('refuses a Redis that may evict, instead of losing counters quietly (pitfall 12)', async () => {
    const evicting = await fixture.servers.redis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
    await expect(Counters.connect(evicting.url)).rejects.toThrow(/noeviction/);
  });
});
