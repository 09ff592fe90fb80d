import { createServer, connect as connectTcp, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { applyCommand, emptyCounters, type CounterCommand, type CounterReply } from '@meritorder/budget-core';
import { MAX_COUNTER_NANOS, seededRandom } from '@meritorder/kernel';
import { testServers, waitFor, type RunningServer } from '@meritorder/testing';
import { Counters, type CandidateWindow, type ReserveCandidate, type ReserveReply } from './index.js';

const servers = testServers();
let redis: RunningServer;
let raw: Redis;
let counters: Counters;
let epoch = 0;

beforeAll(async () => {
  redis = await servers.redis();
  raw = new Redis(redis.url);
  counters = await Counters.connect(redis.url);
});
afterAll(async () => {
  await counters.close();
  raw.disconnect();
  await servers.stop();
});
beforeEach(async () => {
  await raw.flushall();
  await newEpoch();
});

async function newEpoch(): Promise<void> {
  await counters.beginEpoch(++epoch);
  expect(await counters.openEpoch(epoch, 0)).toBe('ok');
}

const win = (budget: string, limit: bigint, basis: 'cash' | 'full' = 'cash', limitVersion = 1): CandidateWindow => ({
  budget,
  window: 'total',
  basis,
  limitNanos: limit,
  limitVersion,
});
const flat = (nanos: bigint, ...windows: CandidateWindow[]): ReserveCandidate => ({
  backend: 'b',
  maxTokens: 1,
  minTokens: 1,
  cash: { fixedNanos: nanos, perOutputTokenNanos: 0n },
  full: { fixedNanos: nanos * 2n, perOutputTokenNanos: 0n },
  windows,
});
const reserve = (attemptId: string, ...candidates: ReserveCandidate[]): Promise<ReserveReply> =>
  counters.reserve({ attemptId, leaseMs: 60_000, candidates });

describe('refusals', () => {
  const rows: [string, { limit: bigint; before?: (c: Counters) => Promise<unknown>; ask: bigint; kind: string }][] = [
    ['a limit below the bound is exhausted', { limit: 9n, ask: 10n, kind: 'exhausted' }],
    [
      'room held by requests in flight is held',
      { limit: 15n, before: () => reserve('x', flat(10n, win('b', 15n))), ask: 10n, kind: 'held' },
    ],
    [
      'room spent is exhausted',
      {
        limit: 15n,
        before: async (c) => {
          await reserve('x', flat(10n, win('b', 15n)));
          await c.settle('x', { cashNanos: 10n, fullNanos: 20n });
        },
        ask: 10n,
        kind: 'exhausted',
      },
    ],
    [
      'an unconfirmed charge counts as spent',
      {
        limit: 15n,
        before: async (c) => {
          await reserve('x', flat(10n, win('b', 15n)));
          await c.open('x');
          await c.unconfirm('x');
        },
        ask: 10n,
        kind: 'exhausted',
      },
    ],
    ['a zero limit admits nothing', { limit: 0n, ask: 1n, kind: 'exhausted' }],
  ];
  it.each(rows)('%s', async (_name, { limit, before, ask, kind }) => {
    await before?.(counters);
    const reply = await reserve('new', flat(ask, win('b', limit)));
    expect(reply).toMatchObject({
      type: 'refused',
      candidates: [{ budget: 'b', kind, limitNanos: limit, neededNanos: ask }],
    });
  });

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
      [1, 2, 3, 4].map(() => Counters.connect(redis.url, { commandTimeoutMs: 10_000 })),
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
    const cap = (await counters.inspectWindows()).find((w) => w.budget === 'cap')!;
    expect(cap).toMatchObject({ reservedNanos: 1_000n, peakNanos: 1_000n });
    await Promise.all(clients.map((c) => c.close()));
  });

  it('every verb repeated changes nothing', async () => {
    const w = win('b', 1_000n);
    const first = await reserve('a', flat(10n, w));
    expect(await reserve('a', flat(10n, w))).toMatchObject({ type: 'granted', cashNanos: 10n });
    expect(first).toMatchObject({ type: 'granted' });
    expect(await counters.open('a')).toEqual({ type: 'done', was: 'reserved' });
    expect(await counters.open('a')).toEqual({ type: 'done', was: 'opened' });
    expect(await counters.settle('a', { cashNanos: 7n, fullNanos: 9n })).toEqual({ type: 'done', was: 'opened' });
    expect(await counters.settle('a', { cashNanos: 7n, fullNanos: 9n })).toEqual({ type: 'done', was: 'settled' });
    expect(await counters.release('a')).toEqual({ type: 'done', was: 'settled' });
    expect(await counters.settle('never', { cashNanos: 7n, fullNanos: 9n })).toEqual({ type: 'done', was: 'unknown' });
    expect(await counters.inspectWindows()).toMatchObject([
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
      verb === 'settle' ? await counters.settle('a', { cashNanos: 0n, fullNanos: 4n }) : await counters[verb]('a');
    expect(reply).toEqual({ type: 'done', was: 'reserved' });
    expect((await counters.inspectWindows()).map((w) => w.reservedNanos)).toEqual([0n, 0n]);
  });

  it('a hold never opened expires with its lease; an opened one never does (pitfall 3)', async () => {
    await counters.reserve({ attemptId: 'lost', leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    await counters.reserve({ attemptId: 'kept', leaseMs: 1, candidates: [flat(10n, win('b', 100n))] });
    expect(await counters.open('kept')).toMatchObject({ was: 'reserved' });
    const expired = await waitFor(async () => {
      const ids = await counters.expireDue();
      return ids.length > 0 && ids;
    }, 'the lease to end');
    expect(expired).toEqual(['lost']);
    expect(await counters.expireDue()).toEqual(['lost']);
    await counters.forgetLeases(expired);
    expect(await counters.expireDue()).toEqual([]);
    expect(await counters.open('lost')).toEqual({ type: 'done', was: 'expired' });
    expect(await counters.inspectWindows()).toMatchObject([{ reservedNanos: 10n }]);
  });

  it('a reply that is lost after Redis applied the call does not double it (pitfall 4)', async () => {
    const proxy = await dropFirstReply(redis.port, 'reserve-me');
    const through = await Counters.connect(`redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 200 });
    const reply = await through.reserve({
      attemptId: 'reserve-me',
      leaseMs: 60_000,
      candidates: [flat(10n, win('b', 100n))],
    });
    expect(proxy.dropped()).toBe(1);
    expect(reply).toMatchObject({ type: 'granted', cashNanos: 10n });
    expect(await counters.inspectWindows()).toMatchObject([{ reservedNanos: 10n }]);
    await through.close();
    proxy.close();
  });
});

describe('epochs (invariant 6)', () => {
  it('nothing is admitted without one', async () => {
    await raw.flushall();
    expect(await reserve('a', flat(1n, win('b', 10n)))).toEqual({ type: 'epoch' });
    expect(await counters.settle('a', { cashNanos: 1n, fullNanos: 1n })).toEqual({ type: 'epoch' });
  });

  it('a deleted window closes admission instead of opening a new one (pitfall 6)', async () => {
    await reserve('a', flat(10n, win('b', 10n)));
    await raw.del(`{mo}:e${epoch}:w:b:total`);
    expect(await reserve('b', flat(10n, win('b', 10n)))).toEqual({ type: 'epoch' });
    expect((await counters.refreshEpoch()).epoch?.state).toBe('broken');
  });

  it('a deleted set of windows closes admission too', async () => {
    await reserve('a', flat(10n, win('b', 10n)));
    await raw.del(`{mo}:e${epoch}:windows`);
    expect(await reserve('b', flat(10n, win('c', 10n)))).toEqual({ type: 'epoch' });
  });

  it('a server with another run id admits nothing, although its epoch key is valid (promoted stale replica)', async () => {
    await raw.hset('{mo}:epoch', 'runId', 'another');
    await counters.refreshEpoch();
    expect(await reserve('a', flat(1n, win('b', 10n)))).toEqual({ type: 'epoch' });
  });

  it('what was loaded counts, and a late settle finds its hold', async () => {
    await counters.beginEpoch(++epoch);
    await counters.loadWindows(epoch, [
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
    await counters.loadHolds(epoch, [
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
    expect(await counters.openEpoch(epoch, 2)).toBe('incomplete');
    expect(await counters.openEpoch(epoch, 1)).toBe('ok');
    expect(await reserve('x', flat(26n, win('b', 100n)))).toMatchObject({
      type: 'refused',
      candidates: [{ kind: 'held' }],
    });
    await counters.settle('open', { cashNanos: 3n, fullNanos: 3n });
    await counters.settle('unsure', { cashNanos: 1n, fullNanos: 1n });
    expect(await counters.inspectWindows()).toMatchObject([
      { settledNanos: 54n, unconfirmedNanos: 0n, reservedNanos: 0n },
    ]);
  });

  it('refuses a Redis that may evict', async () => {
    const evicting = await servers.redis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
    await expect(Counters.connect(evicting.url)).rejects.toThrow(/noeviction/);
  });
});

it('the model and the scripts agree on 10,000 random commands in 100 sequences', async () => {
  const random = seededRandom(20_261_124);
  const pick = (n: number): number => Math.floor(random() * n);
  for (let sequence = 0; sequence < 100; sequence++) {
    await raw.flushall();
    await newEpoch();
    const model = emptyCounters();
    for (let step = 0; step < 100; step++) {
      const attemptId = `s${sequence}-${pick(30)}`;
      const command = randomCommand(attemptId, pick, random);
      const expected = applyCommand(model, command, 0);
      expect(await applyToRedis(command), `sequence ${sequence}, step ${step}: ${command.verb} ${attemptId}`).toEqual(
        expected,
      );
    }
    const windows = (await counters.inspectWindows())
      .map(({ peakNanos: _peak, ...w }) => w)
      .sort((a, b) => (a.budget < b.budget ? -1 : 1));
    const modelled = [...model.windows]
      .map(([key, { limitVersion: _version, ...w }]) => ({ budget: key, window: 'total', ...w }))
      .sort((a, b) => (a.budget < b.budget ? -1 : 1));
    expect(windows).toEqual(modelled);
  }
}, 120_000);

function randomCommand(attemptId: string, pick: (n: number) => number, random: () => number): CounterCommand {
  const verbs = ['reserve', 'reserve', 'reserve', 'open', 'release', 'settle', 'settle', 'unconfirm'] as const;
  const verb = verbs[pick(verbs.length)]!;
  if (verb === 'settle') return { verb, attemptId, cashNanos: BigInt(pick(2_000)), fullNanos: BigInt(pick(3_000)) };
  if (verb !== 'reserve') return { verb, attemptId };
  return {
    verb,
    attemptId,
    leaseMs: 3_600_000,
    candidates: Array.from({ length: 1 + pick(3) }, () => {
      const maxTokens = 1 + pick(500);
      const budgets = ['b0', 'b1', 'b2', 'b3'].filter(() => random() < 0.5);
      return {
        maxTokens,
        minTokens: 1 + pick(maxTokens),
        cash: { fixedNanos: BigInt(pick(500)), perOutputTokenNanos: BigInt(pick(4)) },
        full: { fixedNanos: BigInt(pick(700)), perOutputTokenNanos: BigInt(pick(6)) },
        windows: budgets.map((key, i) => ({
          key,
          basis: i % 2 === 0 ? ('cash' as const) : ('full' as const),
          limitNanos: BigInt(1_000 + pick(6_000)),
          limitVersion: 1 + pick(3),
        })),
      };
    }),
  };
}

async function applyToRedis(command: CounterCommand): Promise<CounterReply> {
  if (command.verb === 'reserve') {
    const reply = await counters.reserve({
      attemptId: command.attemptId,
      leaseMs: command.leaseMs,
      candidates: command.candidates.map((c) => ({
        ...c,
        backend: 'b',
        windows: c.windows.map(({ key, ...w }) => ({ budget: key, window: 'total', ...w })),
      })),
    });
    if (reply.type === 'granted') {
      const { candidateIndex, maxTokens, cashNanos, fullNanos } = reply;
      return { type: 'granted', candidateIndex, maxTokens, cashNanos, fullNanos };
    }
    if (reply.type === 'refused') {
      return {
        type: 'refused',
        candidates: reply.candidates.map((c) => ({ key: c.budget, kind: c.kind, neededNanos: c.neededNanos })),
      };
    }
    throw new Error(reply.type);
  }
  if (command.verb === 'expire') return { type: 'expired', attemptIds: await counters.expireDue() };
  const reply =
    command.verb === 'settle'
      ? await counters.settle(command.attemptId, command)
      : await counters[command.verb](command.attemptId);
  if (reply.type === 'epoch') throw new Error('epoch');
  return { type: 'done', was: reply.was };
}

/** A TCP proxy that swallows the reply to the first request that mentions `marker`, as a time-out after applying. */
async function dropFirstReply(
  target: number,
  marker: string,
): Promise<{ port: number; dropped(): number; close(): void }> {
  let dropped = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTcp(target, '127.0.0.1');
    sockets.add(client).add(upstream);
    let swallow = false;
    let lost = false;
    client.on('data', (data) => {
      if (dropped === 0 && data.includes(marker) && !data.includes('NOSCRIPT')) swallow = true;
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      // A connection that lost a reply gives no later one: the client would take it for the answer to another command.
      if (lost) return;
      if (swallow && !data.toString().startsWith('-NOSCRIPT')) {
        lost = true;
        dropped++;
        setTimeout(() => client.destroy(), 300);
        return;
      }
      client.write(data);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    for (const s of [client, upstream]) s.on('error', () => {});
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  return {
    port: (server.address() as { port: number }).port,
    dropped: () => dropped,
    close: () => {
      for (const s of sockets) s.destroy();
      server.close();
    },
  };
}
