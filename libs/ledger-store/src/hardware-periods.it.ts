import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptTerms } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { testServers } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import {
  book,
  closedHours,
  closeHostHour,
  connectDatabase,
  keepMeasuredEnergy,
  keepPricedFit,
  learnSpeeds,
  migrate,
  openHour,
  registerHosts,
  storedFits,
  trialBalance,
  type Booking,
  type HostHour,
  type HostHourFacts,
} from './index.js';

const servers = testServers();
let url: string;
let db: DataSource;

beforeAll(async () => {
  url = (await servers.postgres()).url;
  await migrate(url);
  db = await connectDatabase(url, 'test');
});
afterAll(async () => {
  await db?.destroy();
  await servers.stop();
});
beforeEach(async () => {
  for (const table of ['ledger_entry', 'host_period']) await db.query(`alter table ${table} disable trigger all`);
  await db.query(
    `truncate attempt, attempt_settled, ledger_entry, window_spend, outbox, host_usage, host_energy, host_period, hardware_host, hardware_backend, hardware_fit`,
  );
  for (const table of ['ledger_entry', 'host_period']) await db.query(`alter table ${table} enable trigger all`);
  await registerHosts(
    db,
    [
      { host: 'gpu-1', backends: ['llama', 'qwen'] },
      { host: 'gpu-2', backends: ['other'] },
    ],
    new Date(START),
  );
});

const HOUR = 3_600_000;
/** Long ago, so that what is booked now comes late unless its answer ended then. */
const START = Date.parse('2024-11-24T10:17:00Z');
const hour = (n: number): Date => new Date(Date.parse('2024-11-24T10:00:00Z') + n * HOUR);
const within = (n: number): string => new Date(hour(n).getTime() + 1_000).toISOString();

const terms = (attemptId: string, backend: string): AttemptTerms => ({
  attemptId,
  requestId: `r-${attemptId}`,
  attemptNumber: 1,
  attribution: { org: 'acme', department: 'eng' },
  backend,
  provider: backend === 'qwen' ? 'globex-gpus' : 'acme-gpus',
  model: 'm',
  kind: 'chat',
  epoch: 1,
  bound: { cashNanos: '0', fullNanos: '5000' },
  windows: [{ budget: 'all', window: '2024-11', basis: 'full' }],
  priceVersion: 'pv-1',
  reservedAt: '2024-11-24T10:00:00.000Z',
  deadlineAt: '2024-11-24T10:00:30.000Z',
});
const booking = (attemptId: string, full: bigint, over: Partial<Booking> & { backend?: string } = {}): Booking => {
  const { backend = 'llama', ...rest } = over;
  return {
    terms: terms(attemptId, backend),
    worker: 'w',
    charge: { state: 'confirmed', cashNanos: 0n, fullNanos: full, marginalNanos: 1n },
    cause: 'closed',
    outcome: 'finished',
    usage: {
      inputTokens: 100,
      cacheReadTokens: 50,
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 0,
      outputTokens: 20,
      requests: 1,
    },
    closedAt: within(0),
    occurredAt: within(0),
    ...rest,
  };
};

/** A host that costs 1,000 nano-dollars an hour and 1 a busy microsecond. */
const costs = (facts: HostHourFacts): HostHour => {
  const allocatedNanos = facts.usage.reduce((sum, u) => sum + u.absorbedNanos, 0n);
  const busy = facts.usage.reduce((sum, u) => sum + u.timedReplicaMicroseconds, 0n);
  return {
    incurred: { rent: 1_000n, energy: busy },
    incurredNanos: 1_000n + busy,
    allocatedNanos,
    idleNanos: 1_000n + busy - allocatedNanos,
    variances: { unusedCapacity: 1_000n + busy - allocatedNanos },
    availableGpuMicroseconds: 9n,
    practicalGpuMicroseconds: 5n,
    standardGpuMicroseconds: 0n,
    busyGpuMicroseconds: busy,
    energyBasis: facts.measured ? 'measured' : 'configured',
  };
};
const close = (n: number, host = 'gpu-1', source = db) => closeHostHour(source, host, hour(n), costs);
const closed = (host = 'gpu-1') => closedHours(db, { host, from: new Date(0), to: new Date(Date.now() + HOUR) });
const balances = async (): Promise<Record<string, bigint>> =>
  Object.fromEntries((await trialBalance(db)).map((a) => [a.account, a.balanceNanos]));

async function expectAllTaken(): Promise<void> {
  const all = await balances();
  expect(Object.values(all).reduce((a, b) => a + b, 0n)).toBe(0n);
  // The host's own account is at zero after every closing: what it cost has gone somewhere.
  for (const host of ['gpu-1', 'gpu-2']) expect(all[`hardware:${host}`] ?? 0n).toBe(0n);
}

describe('closing a host’s hour', () => {
  it('allocated + idle = incurred in the ledger, for random traffic in random order with corrections', async () => {
    const random = seededRandom(12);
    const backends = ['llama', 'qwen', 'other', 'cloudy'];
    let charged = 0n;
    let n = 0;
    for (let h = 0; h < 12; h++) {
      const bookings = Array.from({ length: Math.floor(random() * 40) }, () => {
        const full = BigInt(Math.floor(random() * 400));
        const backend = backends[Math.floor(random() * backends.length)]!;
        if (backend !== 'cloudy') charged += full;
        return booking(`a${n++}`, full, { backend, closedAt: within(Math.max(0, h - Math.floor(random() * 3))) });
      });
      await book(db, bookings);
      const corrected = bookings.filter(() => random() < 0.2);
      for (const b of corrected) {
        const full = b.charge.fullNanos / 3n;
        if (b.terms.backend !== 'cloudy') charged += full - b.charge.fullNanos;
        await book(db, [
          { ...b, charge: { ...b.charge, fullNanos: full }, cause: 'price-correction', correction: true },
        ]);
      }
      await close(h);
      await close(h, 'gpu-2');
      await expectAllTaken();
    }
    // Corrections were booked now, long after the last of these hours: one hour that holds them closes the account.
    const last = hour(12);
    await db.query(`update host_usage set recorded_at = $1 where hour is null`, [new Date(last.getTime() + 1)]);
    await close(12);
    await close(12, 'gpu-2');
    await expectAllTaken();
    const rows = [...(await closed()), ...(await closed('gpu-2'))];
    expect(rows).toHaveLength(26);
    expect(rows.reduce((sum, r) => sum + r.allocatedNanos, 0n)).toBe(charged);
    for (const r of rows) {
      expect(r.allocatedNanos + r.idleNanos).toBe(r.incurredNanos);
      const [of]: { sum: string }[] = await db.query(
        `select coalesce(sum(absorbed_nanos), 0)::text as sum from host_usage where host = $1 and hour = $2`,
        [r.host, r.hour],
      );
      expect(BigInt(of!.sum)).toBe(r.allocatedNanos);
    }
    const all = await balances();
    expect(all['absorbed:acme-gpus']! + all['absorbed:globex-gpus']!).toBe(-(await unallocated()));
  });

  /** What backends without a host absorbed. */
  const unallocated = async (): Promise<bigint> => {
    const [row]: { sum: string }[] = await db.query(
      `select coalesce(sum(s.full_nanos - s.cash_nanos), 0)::text as sum from attempt_settled s join attempt a using (attempt_id) where a.backend = 'cloudy'`,
    );
    return BigInt(row!.sum);
  };

  it('writes lines, allocation and idle as transfers through the host’s account', async () => {
    await book(db, [booking('a', 300n), booking('b', 100n, { backend: 'qwen' })]);
    await close(0);
    expect(await balances()).toMatchObject({
      'incurred:gpu-1:rent': -1_000n,
      'hardware:gpu-1': 0n,
      'absorbed:acme-gpus': 0n,
      'absorbed:globex-gpus': 0n,
      'idle:gpu-1': 600n,
      'expense:acme:eng': 400n,
    });
    const entries = await db.query(`select distinct attempt_id, cause from ledger_entry where kind = 'host-period'`);
    expect(entries).toEqual([{ attempt_id: 'host:gpu-1:2024-11-24T10', cause: 'host-period' }]);
  });

  it('over-absorption is an account of its own', async () => {
    await book(db, [booking('a', 1_300n)]);
    await close(0);
    expect(await balances()).toMatchObject({ 'over-absorbed:gpu-1': -300n, 'hardware:gpu-1': 0n });
    expect((await balances())['idle:gpu-1']).toBeUndefined();
    expect(await closed()).toMatchObject([{ idleNanos: -300n }]);
  });

  it('a replayed close changes nothing, nor do four at once', async () => {
    await book(db, [booking('a', 300n)]);
    const connections = await Promise.all([1, 2, 3, 4].map(() => connectDatabase(url, 'test', 2)));
    const done = await Promise.all(connections.map((c) => close(0, 'gpu-1', c)));
    expect(done.filter((d) => d !== undefined)).toHaveLength(1);
    const before = await balances();
    expect(await close(0)).toBeUndefined();
    expect(await balances()).toEqual(before);
    expect(await closed()).toHaveLength(1);
    await Promise.all(connections.map((c) => c.destroy()));
  });

  it('a crash in the middle leaves the hour open with all it had, and the repetition closes it', async () => {
    await book(db, [booking('a', 300n)]);
    await keepMeasuredEnergy(db, [energy('m', 0, 60_000, 5n)]);
    await expect(
      closeHostHour(db, 'gpu-1', hour(0), () => {
        throw new Error('crash');
      }),
    ).rejects.toThrow('crash');
    expect(await close(0)).toMatchObject({
      closed: { allocatedNanos: 300n },
      facts: { measured: { coveredMs: 60_000 } },
    });
  });

  it('a late attempt goes to the open hour; the closed one stays as it was', async () => {
    await book(db, [booking('a', 300n)]);
    await close(0);
    await book(db, [booking('late', 70n), booking('b', 20n, { closedAt: within(1) })]);
    await close(1);
    expect(await closed()).toMatchObject([
      { hour: hour(0), allocatedNanos: 300n, attempts: 1, lateAttempts: 0 },
      { hour: hour(1), allocatedNanos: 90n, attempts: 2, lateAttempts: 1 },
    ]);
    await expectAllTaken();
  });

  it('an attempt whose answer ended later waits for its hour', async () => {
    await book(db, [booking('a', 300n, { closedAt: within(2) })]);
    for (const n of [0, 1, 2]) await close(n);
    expect((await closed()).map((h) => h.allocatedNanos)).toEqual([0n, 0n, 300n]);
  });

  it('tokens and timings count once, whatever corrections follow; an attempt that costs nothing counts too', async () => {
    const timings = { prefillTokens: 100, prefillMs: 30, decodeTokens: 20, decodeMs: 80, concurrency: 8 };
    await book(db, [booking('a', 300n, { timings }), booking('free-of-charge', 0n)]);
    await db.query(`update host_usage set recorded_at = $1`, [within(0)]);
    await book(db, [
      {
        ...booking('a', 200n, { timings }),
        cause: 'price-correction',
        correction: true,
      },
    ]);
    await db.query(`update host_usage set recorded_at = $1 where revision = 2`, [within(0)]);
    expect(await close(0)).toMatchObject({
      facts: {
        usage: [
          {
            attempts: 2,
            absorbedNanos: 200n,
            tokens: { inputTokens: 200, cacheReadTokens: 100, outputTokens: 40 },
            // 30 ms of prefill, and an eighth of 80 ms.
            timedReplicaMicroseconds: 40_000n,
            untimed: { inputTokens: 100, outputTokens: 20 },
          },
        ],
      },
    });
  });

  it('an unconfirmed charge is not allocated until it is confirmed', async () => {
    const unconfirmed: Booking = {
      ...booking('a', 0n),
      charge: { state: 'unconfirmed', cashNanos: 0n, fullNanos: 5_000n },
      usage: undefined,
      closedAt: undefined,
    };
    await book(db, [unconfirmed]);
    await close(0);
    await book(db, [booking('a', 40n)]);
    await close(1);
    expect((await closed()).map((h) => [h.allocatedNanos, h.attempts])).toEqual([
      [0n, 0],
      [40n, 1],
    ]);
  });

  it('what a closed hour says cannot be changed', async () => {
    await close(0);
    await expect(db.query(`update host_period set allocated_nanos = 1`)).rejects.toThrow(/append-only/);
    await expect(db.query(`delete from host_period`)).rejects.toThrow(/append-only/);
    await expect(
      db.query(
        `insert into host_period select host, hour + interval '1 hour', incurred, incurred_nanos, allocated_nanos + 1, idle_nanos, variances, attempts, late_attempts, available_gpu_us, practical_gpu_us, standard_gpu_us, busy_gpu_us, energy_basis, measured_ms, measured_millijoules, gpu_utilization, backends, closed_at from host_period`,
      ),
    ).rejects.toThrow(/allocated_and_idle_are_incurred/);
  });

  it('hours are closed in order, from the one in which the host was first named', async () => {
    expect(await openHour(db, 'gpu-1')).toEqual(hour(0));
    expect(await close(1)).toBeUndefined();
    await close(0);
    expect(await openHour(db, 'gpu-1')).toEqual(hour(1));
    expect(await openHour(db, 'nobody')).toBeUndefined();
    await registerHosts(db, [{ host: 'gpu-1', backends: ['llama'] }], hour(40));
    expect(await openHour(db, 'gpu-1')).toEqual(hour(1));
  });
});

const energy = (messageId: string, n: number, coveredMs: number, millijoules: bigint, gpuUtilization?: number) => ({
  messageId,
  host: 'gpu-1',
  hour: hour(n),
  coveredMs,
  millijoules,
  gpuUtilization,
});

describe('measured energy', () => {
  it('is in its hour once, however often its message comes', async () => {
    const rows = [energy('m1', 0, 60_000, 5_000n, 0.5), energy('m2', 0, 30_000, 2_000n), energy('m3', 1, 60_000, 9n)];
    await keepMeasuredEnergy(db, rows);
    await keepMeasuredEnergy(db, [rows[1]!, rows[0]!]);
    expect((await close(0))!.facts.measured).toEqual({ coveredMs: 90_000, millijoules: 7_000n, gpuUtilization: 0.5 });
    expect((await closed())[0]).toMatchObject({
      energyBasis: 'measured',
      measuredMillijoules: 7_000n,
      gpuUtilization: 0.5,
    });
  });

  it('that comes after its hour was closed is said, and not booked', async () => {
    await close(0);
    await keepMeasuredEnergy(db, [energy('late', 0, 60_000, 5_000n)]);
    expect((await close(1))!.facts).toMatchObject({ measured: undefined, lateMeasuredMs: 60_000 });
    expect((await close(2))!.facts.lateMeasuredMs).toBe(0);
  });
});

describe('engine speeds', () => {
  const timings = { prefillTokens: 1, prefillMs: 1, decodeTokens: 1, decodeMs: 1 };
  const add = (state: unknown, attempts: readonly unknown[]): number[] => [
    ...((state as number[] | null) ?? []),
    attempts.length,
  ];

  it('each booked attempt is learned from once, by any number of learners; one without timings says nothing', async () => {
    await book(db, [
      ...Array.from({ length: 50 }, (_, i) => booking(`a${i}`, 1n, { timings })),
      booking('silent', 1n),
      booking('elsewhere', 1n, { timings, backend: 'other' }),
    ]);
    const seen = await Promise.all(Array.from({ length: 4 }, () => learnSpeeds(db, 'llama', 20, add)));
    expect(seen.sort()).toEqual([0, 11, 20, 20]);
    const total = ((await storedFits(db)).get('llama')!.state as number[]).reduce((a, b) => a + b, 0);
    expect(total).toBe(50);
    expect(await learnSpeeds(db, 'llama', 20, add)).toBe(0);
  });

  it('what prices rest on is kept apart from what was last learned', async () => {
    await book(db, [booking('a', 1n, { timings })]);
    await learnSpeeds(db, 'llama', 20, add);
    expect((await storedFits(db)).get('llama')).toMatchObject({ state: [1], priced: null, pricedAt: null });
    await keepPricedFit(db, 'llama', [1]);
    await book(db, [booking('b', 1n, { timings })]);
    await learnSpeeds(db, 'llama', 20, add);
    expect((await storedFits(db)).get('llama')).toMatchObject({
      state: [1, 1],
      priced: [1],
      pricedAt: expect.any(Date),
    });
  });

  it('attempts are shown to the fit in the order they were booked', async () => {
    const order: number[] = [];
    for (const decodeMs of [5, 3, 9])
      await book(db, [booking(`t${decodeMs}`, 1n, { timings: { ...timings, decodeMs } })]);
    await learnSpeeds(db, 'llama', 20, (_state, attempts) => {
      order.push(...attempts.map((a) => a.timings.decodeMs));
      return order;
    });
    expect(order).toEqual([5, 3, 9]);
  });
});
