import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { MAX_COUNTER_NANOS } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { flat, useCounters, win } from './fixture.for-tests.js';
import { Counters, type ReserveReply } from './index.js';
import { startProxy } from './proxy.for-tests.js';

const fixture = useCounters();
const { reserve } = fixture;

describe('a reply that is lost after Redis applied the call (pitfall 4)', () => {
  const window = win('b', 1_000n);
  const cost = { cashNanos: 7n, fullNanos: 7n };
  const rows: [string, (c: Counters) => Promise<unknown>, object, object][] = [
    [
      'reserve',
      (c) => c.reserve({ attemptId: 'attempt-of-reserve', leaseMs: 60_000, candidates: [flat(10n, window)] }),
      { type: 'granted', cashNanos: 10n },
      { reservedNanos: 20n },
    ],
    [
      'settle',
      (c) => c.settle('attempt-opened', cost),
      { type: 'done', was: 'settled' },
      { settledNanos: 7n, reservedNanos: 0n },
    ],
    ['release', (c) => c.release('attempt-opened'), { type: 'done', was: 'released' }, { reservedNanos: 0n }],
    [
      'unconfirm',
      (c) => c.unconfirm('attempt-opened'),
      { type: 'done', was: 'unconfirmed' },
      { unconfirmedNanos: 10n, reservedNanos: 0n },
    ],
    [
      'extend',
      (c) => c.extend('attempt-opened', { cashNanos: 25n, fullNanos: 25n }),
      { type: 'extended', cashNanos: 25n },
      { reservedNanos: 25n },
    ],
    [
      'adjust',
      (c) =>
        c.adjust(window, {
          seenSettledNanos: 0n,
          seenUnconfirmedNanos: 0n,
          settledChangeNanos: 5n,
          unconfirmedChangeNanos: 0n,
        }),
      { type: 'moved' },
      { settledNanos: 5n },
    ],
  ];
  it.each(rows)('%s is repeated, not doubled', async (verb, call, replied, counted) => {
    await reserve('attempt-opened', flat(10n, window));
    await fixture.counters.open('attempt-opened');
    const marker = { reserve: 'attempt-of-reserve', adjust: 'w:b:total' }[verb] ?? 'attempt-opened';
    const proxy = await startProxy(fixture.redis.port, marker);
    const through = await Counters.connect(proxy.url, { commandTimeoutMs: 200 });
    expect(await call(through)).toMatchObject(replied);
    expect(proxy.dropped()).toBe(1);
    expect(await fixture.counters.inspectWindows()).toMatchObject([counted]);
    await through.close();
    proxy.close();
  });
});

describe('a failover to a stale replica (invariant 6)', () => {
  it('admits nothing there, though its epoch is open and valid; after a rebuild no budget was overrun', async () => {
    const primary = await fixture.servers.redis();
    const replica = await fixture.servers.redis();
    const replicaClient = new Redis(replica.url);
    const proxy = await startProxy(primary.port);
    const counters = await Counters.connect(proxy.url);
    const one = (attemptId: string) =>
      counters.reserve({ attemptId, leaseMs: 60_000, candidates: [flat(10n, win('b', 20n))] });
    await counters.beginEpoch(1);
    await counters.openEpoch(1, 0);
    expect(await one('replicated')).toMatchObject({ type: 'granted' });
    await replicaClient.replicaof('127.0.0.1', primary.port);
    await waitFor(
      async () => (await replicaClient.hget('{mo}:e1:w:b:total', 'reserved')) === '10',
      'the replica to follow',
    );
    // From here on the replica is behind: it never hears of the second hold.
    await replicaClient.replicaof('NO', 'ONE');
    expect(await one('lost')).toMatchObject({ type: 'granted' });
    await counters.open('lost');
    await primary.kill();
    proxy.pointTo(replica.port);

    await waitFor(
      async () => (await counters.refreshEpoch().catch(() => undefined))?.epoch?.state === 'open',
      'the client to be on the replica',
    );
    expect(await replicaClient.hgetall('{mo}:epoch')).toMatchObject({ id: '1', state: 'open' });
    expect(counters.openEpochId()).toBeUndefined();
    // The replica has room for one more of 10; the truth has none.
    expect(await one('over')).toEqual({ type: 'epoch' });
    expect(await counters.settle('lost', { cashNanos: 10n, fullNanos: 10n })).toEqual({ type: 'epoch' });

    await counters.closeEpoch();
    await counters.beginEpoch(2);
    const truth = {
      budget: 'b',
      window: 'total',
      limitNanos: 20n,
      settledNanos: 0n,
      unconfirmedNanos: 0n,
      reservedNanos: 20n,
      peakNanos: 0n,
    };
    await counters.loadWindows(2, [truth]);
    const held = {
      state: 'opened' as const,
      cashNanos: 10n,
      fullNanos: 20n,
      windows: [{ budget: 'b', window: 'total', basis: 'cash' as const }],
    };
    await counters.loadHolds(2, [
      { attemptId: 'replicated', ...held },
      { attemptId: 'lost', ...held },
    ]);
    expect(await counters.openEpoch(2, 1)).toBe('ok');
    expect(await one('over')).toMatchObject({ type: 'refused', candidates: [{ kind: 'held' }] });
    await counters.settle('lost', { cashNanos: 10n, fullNanos: 10n });
    expect(await one('over')).toMatchObject({ candidates: [{ settledNanos: 10n, reservedNanos: 10n }] });
    await counters.close();
    proxy.close();
    replicaClient.disconnect();
  });
});

describe('clients under load', () => {
  it('that grow from 1 to 8 while budgets run out never admit more than the limit (pitfalls 1 and 25)', async () => {
    const clients: Counters[] = [];
    let granted = 0n;
    for (let wave = 1; wave <= 8; wave++) {
      clients.push(await Counters.connect(fixture.redis.url, { commandTimeoutMs: 10_000 }));
      const replies = await Promise.all(
        Array.from({ length: 64 }, (_, i) =>
          clients[i % clients.length]!.reserve({
            attemptId: `w${wave}-${i}`,
            leaseMs: 60_000,
            candidates: [flat(10n, win('org', 5_000n), win('team', 2_005n))],
          }),
        ),
      );
      granted += BigInt(replies.filter((r) => r.type === 'granted').length) * 10n;
    }
    expect(granted).toBe(2_000n);
    const peaks = (await fixture.counters.inspectWindows()).map((w) => [w.budget, w.peakNanos]).sort();
    expect(peaks).toEqual([
      ['org', 2_000n],
      ['team', 2_000n],
    ]);
    await Promise.all(clients.map((c) => c.close()));
  });

  it('of 8 routers whose limits change under load never pass the newest, also those that bring an older one', async () => {
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => Counters.connect(fixture.redis.url, { commandTimeoutMs: 10_000 })),
    );
    const of = (i: number): Counters => clients[i % clients.length]!;
    const ask = (name: string, limit: bigint, version: number): Promise<ReserveReply[]> =>
      Promise.all(
        Array.from({ length: 128 }, (_, i) =>
          of(i).reserve({
            attemptId: `${name}-${i}`,
            leaseMs: 60_000,
            candidates: [flat(10n, win('b', limit, 'cash', version))],
          }),
        ),
      );
    const change = (limitNanos: bigint, limitVersion: number) =>
      of(limitVersion).changeLimit({ budget: 'b', window: 'total', limitNanos, limitVersion });
    const grantsOf = (replies: ReserveReply[]) => replies.filter((r) => r.type === 'granted');
    const used = async (): Promise<bigint> => {
      const [w] = await fixture.counters.inspectWindows();
      return w!.settledNanos + w!.unconfirmedNanos + w!.reservedNanos;
    };

    // Raised and lowered in the middle of it: every grant fits in the limit that was in force for it.
    const [during] = await Promise.all([ask('during', 300n, 1), change(500n, 2), change(200n, 3), change(700n, 4)]);
    for (const grant of grantsOf(during)) expect(grant.left[0]!.leftNanos).toBeGreaterThanOrEqual(0n);
    const before = await used();
    expect(before).toBe(BigInt(grantsOf(during).length) * 10n);
    expect(before).toBeLessThanOrEqual(700n);

    // Lowered below what is held: neither a grant nor an extension, whatever limit is brought; what is freed stays free.
    const attempts = during.flatMap((r, i) => (r.type === 'granted' ? [`during-${i}`] : []));
    await Promise.all(attempts.map((id, i) => of(i).open(id)));
    expect(await change(50n, 5)).toBe(true);
    const extending = attempts.map((id, i) => of(i).extend(id, { cashNanos: 11n, fullNanos: 20n }));
    const settling = attempts.slice(0, 10).map((id, i) => of(i).settle(id, { cashNanos: 1n, fullNanos: 1n }));
    expect(grantsOf(await ask('stale', 700n, 4))).toEqual([]);
    expect((await Promise.all(extending)).some((r) => r.type === 'extended')).toBe(false);
    await Promise.all(settling);
    expect(await used()).toBe(before - 90n);

    // Raised again: exactly what fits.
    expect(await change(1_000n, 6)).toBe(true);
    const room = (1_000n - (before - 90n)) / 10n;
    expect(BigInt(grantsOf(await ask('raised', 50n, 5)).length)).toBe(room < 128n ? room : 128n);
    expect(await used()).toBeLessThanOrEqual(1_000n);
    await Promise.all(clients.map((c) => c.close()));
  });

  it('a wipe in the middle closes admission for all of them; what was counted is never counted from zero (pitfalls 5 and 6)', async () => {
    const clients = await Promise.all([1, 2].map(() => Counters.connect(fixture.redis.url)));
    await Promise.all(
      clients.map((c, i) => c.reserve({ attemptId: `a${i}`, leaseMs: 60_000, candidates: [flat(10n, win('b', 20n))] })),
    );
    const racing = Array.from({ length: 40 }, (_, i) =>
      clients[i % 2]!.reserve({ attemptId: `r${i}`, leaseMs: 60_000, candidates: [flat(10n, win('b', 20n))] }),
    );
    await fixture.raw.flushall();
    const types = new Set((await Promise.all(racing)).map((r) => r.type));
    expect(types.has('granted')).toBe(false);
    for (const client of clients)
      expect(
        await client.reserve({ attemptId: 'after', leaseMs: 60_000, candidates: [flat(10n, win('b', 20n))] }),
      ).toEqual({ type: 'epoch' });
    await Promise.all(clients.map((c) => c.close()));
  });

  it('the first request of a new window is admitted while the old one settles (pitfall 7)', async () => {
    const day = (window: string) => ({ ...win('b', 10n), window });
    await reserve('old', flat(10n, day('2026-11-24')));
    await fixture.counters.open('old');
    expect(await reserve('refused', flat(10n, day('2026-11-24')))).toMatchObject({ candidates: [{ kind: 'held' }] });
    expect(await reserve('new', flat(10n, day('2026-11-25')))).toMatchObject({ type: 'granted' });
    await fixture.counters.settle('old', { cashNanos: 9n, fullNanos: 9n });
    expect(await fixture.counters.inspectWindows([day('2026-11-24'), day('2026-11-25')])).toMatchObject([
      { settledNanos: 9n, reservedNanos: 0n },
      { settledNanos: 0n, reservedNanos: 10n },
    ]);
  });
});

describe('holds', () => {
  it('that are renewed keep their money, and those that are not expire (pitfall 3)', async () => {
    for (const attemptId of ['kept', 'lost'])
      await fixture.counters.reserve({ attemptId, leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    expect(await fixture.counters.renew('kept', 60_000)).toMatchObject({ was: 'reserved' });
    const expired = await waitFor(async () => {
      const ids = await fixture.counters.expireDue();
      return ids.length > 0 && ids;
    }, 'the lease to end');
    expect(expired).toEqual(['lost']);
    expect(await fixture.counters.renew('lost', 60_000)).toMatchObject({ was: 'expired' });
    expect(await fixture.counters.overdueLeases(60_000)).toBe(0);
    expect(await fixture.counters.inspectWindows()).toMatchObject([{ reservedNanos: 10n }]);
  });

  it('that nobody sweeps are seen: the alarm for stuck holds (pitfall 31)', async () => {
    await fixture.counters.reserve({ attemptId: 'stuck', leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    await waitFor(async () => (await fixture.counters.overdueLeases(0)) === 1, 'the lease to be over');
    expect(await fixture.counters.overdueLeases(60_000)).toBe(0);
  });

  const paths: [string, (c: Counters) => Promise<unknown>][] = [
    ['settled', async (c) => (await c.open('a'), c.settle('a', { cashNanos: 3n, fullNanos: 3n }))],
    ['settled', async (c) => (await c.unconfirm('a'), c.settle('a', { cashNanos: 3n, fullNanos: 3n }))],
    ['released', async (c) => (await c.open('a'), c.release('a'))],
    ['released', async (c) => (await c.unconfirm('a'), c.release('a'))],
    [
      'expired',
      (c) => waitFor(async () => (await c.expire('a')).type === 'done' && (await c.open('a')), 'the lease to end'),
    ],
  ];
  it.each(paths)(
    'end in %s and leave nothing reserved or unconfirmed, whatever comes after (pitfall 31)',
    async (terminal, path) => {
      await fixture.counters.reserve({
        attemptId: 'a',
        leaseMs: terminal === 'expired' ? 0 : 60_000,
        candidates: [flat(10n, win('b', 100n))],
      });
      await path(fixture.counters);
      const after = await fixture.counters.inspectWindows();
      expect(after).toMatchObject([
        { reservedNanos: 0n, unconfirmedNanos: 0n, settledNanos: terminal === 'settled' ? 3n : 0n },
      ]);
      for (const late of [
        fixture.counters.open('a'),
        fixture.counters.unconfirm('a'),
        fixture.counters.release('a'),
        fixture.counters.settle('a', { cashNanos: 9n, fullNanos: 9n }),
      ])
        expect(await late).toEqual({ type: 'done', was: terminal });
      expect(await fixture.counters.inspectWindows()).toEqual(after);
    },
  );

  it('that grow never pass the limit in force, and stay what they are when refused', async () => {
    await reserve('a', flat(10n, win('b', 30n), win('full', 1_000n, 'full')));
    expect(await fixture.counters.extend('a', { cashNanos: 11n, fullNanos: 22n })).toEqual({
      type: 'done',
      was: 'reserved',
    });
    await fixture.counters.open('a');
    expect(await fixture.counters.extend('a', { cashNanos: 30n, fullNanos: 60n })).toMatchObject({ type: 'extended' });
    expect(await fixture.counters.extend('a', { cashNanos: 20n, fullNanos: 40n })).toMatchObject({
      type: 'extended',
      cashNanos: 30n,
    });
    const before = await fixture.counters.inspectWindows();
    expect(await fixture.counters.extend('a', { cashNanos: 31n, fullNanos: 62n })).toMatchObject({
      type: 'refused',
      binding: { budget: 'b', kind: 'held', limitNanos: 30n, reservedNanos: 30n, neededNanos: 1n },
    });
    expect(await fixture.counters.inspectWindows()).toEqual(before);
    expect(await fixture.counters.changeLimit({ ...win('b', 31n), limitVersion: 2 })).toBe(true);
    expect(await fixture.counters.extend('a', { cashNanos: 31n, fullNanos: 62n })).toMatchObject({ type: 'extended' });
    expect(await fixture.counters.settle('a', { cashNanos: 31n, fullNanos: 62n })).toMatchObject({ was: 'opened' });
    expect((await fixture.counters.inspectWindows()).map((w) => w.reservedNanos)).toEqual([0n, 0n]);
  });
});

describe('limits that change', () => {
  it('one lowered below what is spent admits nothing more, and raised again admits at once', async () => {
    await reserve('a', flat(50n, win('b', 100n)));
    await fixture.counters.settle('a', { cashNanos: 50n, fullNanos: 50n });
    expect(await fixture.counters.changeLimit({ ...win('b', 40n), limitVersion: 2 })).toBe(true);
    expect(await fixture.counters.changeLimit({ ...win('b', 40n), limitVersion: 2 })).toBe(false);
    expect(await reserve('b', flat(1n, win('b', 100n)))).toMatchObject({
      candidates: [{ kind: 'exhausted', limitNanos: 40n }],
    });
    expect(await reserve('c', flat(1n, win('b', 200n, 'cash', 3)))).toMatchObject({ type: 'granted' });
    // It was no overrun: no grant passed the limit that was in force.
    expect(await fixture.counters.inspectWindows()).toMatchObject([{ peakNanos: 51n }]);
  });
});

describe('the edge of 2^53', () => {
  it('is exact to the nano-dollar in reserve, settle, extend and adjust', async () => {
    const edge = win('b', MAX_COUNTER_NANOS);
    const most = { ...flat(MAX_COUNTER_NANOS - 3n, edge), full: { fixedNanos: 0n, perOutputTokenNanos: 0n } };
    expect(await reserve('a', most)).toMatchObject({ type: 'granted', left: [{ leftNanos: 3n }] });
    await fixture.counters.open('a');
    expect(await fixture.counters.extend('a', { cashNanos: MAX_COUNTER_NANOS - 2n, fullNanos: 0n })).toMatchObject({
      type: 'extended',
    });
    await fixture.counters.settle('a', { cashNanos: MAX_COUNTER_NANOS - 2n, fullNanos: 0n });
    const seen = { seenSettledNanos: MAX_COUNTER_NANOS - 2n, seenUnconfirmedNanos: 0n, unconfirmedChangeNanos: 0n };
    expect(await fixture.counters.adjust(edge, { ...seen, settledChangeNanos: 3n })).toMatchObject({ type: 'range' });
    expect(await fixture.counters.adjust(edge, { ...seen, settledChangeNanos: 1n })).toEqual({ type: 'adjusted' });
    expect(await reserve('b', flat(1n, edge))).toMatchObject({ type: 'granted', left: [{ leftNanos: 0n }] });
    expect(await reserve('c', flat(1n, edge))).toMatchObject({ type: 'refused' });
  });

  it('a charge that takes a counter beyond it is counted exactly, and admits nothing more', async () => {
    const edge = win('b', MAX_COUNTER_NANOS);
    for (const attempt of ['a', 'b', 'c']) await reserve(attempt, flat(1n, edge));
    for (const attempt of ['a', 'b'])
      await fixture.counters.settle(attempt, { cashNanos: MAX_COUNTER_NANOS, fullNanos: 0n });
    expect(await fixture.counters.inspectWindows()).toMatchObject([
      { settledNanos: 2n * MAX_COUNTER_NANOS, reservedNanos: 1n },
    ]);
    expect(await reserve('d', flat(1n, edge))).toMatchObject({
      candidates: [{ kind: 'exhausted', settledNanos: 2n * MAX_COUNTER_NANOS }],
    });
    await fixture.counters.settle('c', { cashNanos: 1n, fullNanos: 1n });
    expect(await fixture.counters.inspectWindows()).toMatchObject([{ settledNanos: 2n * MAX_COUNTER_NANOS + 1n }]);
  });

  it('an amount that cannot be counted is refused with a clear error, and changes nothing', async () => {
    await reserve('a', flat(1n, win('b', 9n)));
    const beyond = { cashNanos: MAX_COUNTER_NANOS + 1n, fullNanos: 0n };
    await expect(fixture.counters.settle('a', beyond)).rejects.toThrow(/cannot be counted exactly/);
    await expect(fixture.counters.extend('a', beyond)).rejects.toThrow(/cannot be counted exactly/);
    await expect(
      fixture.counters.changeLimit({ ...win('b', MAX_COUNTER_NANOS + 1n), limitVersion: 9 }),
    ).rejects.toThrow(/cannot be counted/);
    expect(await fixture.counters.inspectWindows()).toMatchObject([
      { limitNanos: 9n, settledNanos: 0n, reservedNanos: 1n },
    ]);
  });
});
