import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import {
  EXAMPLES,
  type AttemptTerms,
  type BudgetChange,
  type MeritorderConfig,
  type WindowCharge,
} from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { book, connectDatabase, migrate, recordOpened, type Booking } from '@meritorder/ledger-store';
import { connectBus, ensureTopology, type Bus } from '@meritorder/messaging';
import { useNats, usePostgres, useRedis } from '@meritorder/testing/vitest';
import type { DataSource } from 'typeorm';
import { BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { BudgetBook } from './budget-book.js';
import { BudgetBucket } from './budget-bucket.nats.js';

export interface World {
  config: MeritorderConfig;
  bus: Bus;
  db: DataSource;
  counters: Counters;
  bucket: BudgetBucket;
  policy: BudgetPolicyRuntime;
  redisUrl: string;
  /** One more instance of the service, on the same servers. */
  another(config?: Partial<MeritorderConfig>): Promise<BudgetPolicyRuntime>;
  set(id: string, change: BudgetChange): Promise<void>;
  open(attemptId: string, windows: WindowCharge[], reservedAt: Date): Promise<void>;
  charge(attemptId: string, nanos: bigint, windows: WindowCharge[], reservedAt?: Date): Promise<void>;
}

const TABLES = `attempt, attempt_settled, ledger_entry, window_spend, outbox, threshold_crossing, budget, budget_change, budget_state,
  budget_transition, carry_over, drift, untold_settlement, lease,
  pacing_state, pacing_hour, pacing_attempt, pacing_log, pacing_override`;
const APPEND_ONLY = ['ledger_entry', 'budget_change', 'budget_transition', 'carry_over'];

/** The service without its loops on servers of this file's own, emptied before each test. */
export function useWorld(): World {
  const [nats, redis, postgres] = [useNats(), useRedis(), usePostgres()];
  const opened: { close(): void | Promise<void> }[] = [];
  const world = {} as World;
  let epoch = 0;
  beforeAll(async () => {
    await migrate(postgres.url);
    world.redisUrl = redis.url;
    world.db = await connectDatabase(postgres.url, 'test');
    world.bus = await connectBus({ url: nats.url, name: 'budget-policy', inboxPrefix: '_INBOX_t' });
    world.counters = await Counters.connect(redis.url);
    opened.push(world.bus, world.counters, { close: () => world.db.destroy() });
    world.config = {
      orgs: [{ id: 'acme', departments: [], subscribers: [] }],
      backends: [{ id: 'sim', provider: 'simco', model: 'sim' }],
      accounts: [],
      budgets: [],
      joins: [],
      tiers: [],
      limits: { unconfirmedGraceMs: 1_000 },
    } as unknown as MeritorderConfig;
    await ensureTopology(world.bus, world.config);
    world.another = async (config = {}) => {
      const bucket = await BudgetBucket.open(world.bus);
      opened.push(bucket);
      const whole = { ...world.config, ...config };
      const ofBudgets = new BudgetBook(world.db, world.counters, bucket, whole);
      return new BudgetPolicyRuntime(whole, world.bus, world.db, world.counters, ofBudgets, 1_000);
    };
    world.bucket = await BudgetBucket.open(world.bus);
    opened.push(world.bucket);
    world.policy = new BudgetPolicyRuntime(
      world.config,
      world.bus,
      world.db,
      world.counters,
      new BudgetBook(world.db, world.counters, world.bucket, world.config),
      1_000,
    );
    world.set = async (id, change) => {
      await world.policy.book.carryOut({ verb: 'set', id, change, by: 'ada' });
    };
    world.open = (attemptId, windows, reservedAt) =>
      recordOpened(world.db, [
        { ...terms(attemptId, windows, reservedAt), worker: 'w', openedAt: reservedAt.toISOString() },
      ]);
    world.charge = async (attemptId, nanos, windows, reservedAt = new Date()) => {
      await book(world.db, [booking(attemptId, nanos, windows, reservedAt)]);
    };
  });
  afterAll(async () => {
    for (const one of opened.toReversed()) await one.close();
  });
  beforeEach(async () => {
    for (const table of APPEND_ONLY) await world.db.query(`alter table ${table} disable trigger all`);
    await world.db.query(`truncate ${TABLES}`);
    for (const table of APPEND_ONLY) await world.db.query(`alter table ${table} enable trigger all`);
    for (const id of world.bucket.ids()) await world.bucket.remove(id);
    const manager = await world.bus.manager();
    for (const stream of ['EVENTS', 'USAGE']) await manager.streams.purge(stream);
    await world.counters.closeEpoch();
    await world.counters.beginEpoch(++epoch);
    expect(await world.counters.openEpoch(epoch, 0)).toBe('ok');
  });
  return world;
}

export function terms(attemptId: string, windows: WindowCharge[], reservedAt: Date): AttemptTerms {
  return {
    attemptId,
    requestId: `r-${attemptId}`,
    attemptNumber: 1,
    attribution: { org: 'acme' },
    backend: 'b',
    provider: 'simco',
    model: 'm',
    kind: 'chat',
    epoch: 1,
    bound: { cashNanos: '1000', fullNanos: '1000' },
    windows,
    priceVersion: 'pv-1',
    reservedAt: reservedAt.toISOString(),
    deadlineAt: new Date(reservedAt.getTime() + 30_000).toISOString(),
  };
}

function booking(attemptId: string, nanos: bigint, windows: WindowCharge[], reservedAt: Date): Booking {
  return {
    terms: terms(attemptId, windows, reservedAt),
    worker: 'w',
    charge: { state: 'confirmed', cashNanos: nanos, fullNanos: nanos },
    cause: 'closed',
    outcome: 'finished',
    occurredAt: reservedAt.toISOString(),
  };
}

/** What metering publishes of a charge. */
export async function publishRated(bus: Bus, attemptId: string, windows: WindowCharge[]): Promise<void> {
  await bus.publishEvent({
    type: 'metering.usage-rated.v1',
    subject: 'metering.usage-rated.v1.acme',
    id: `${attemptId}/r1`,
    time: new Date().toISOString(),
    data: { ...EXAMPLES.events['metering.usage-rated.v1'], attemptId, windows },
  });
}

/** Everything published on subjects, oldest first. */
export async function publishedOn(bus: Bus, subject: RegExp): Promise<{ id: string; subject: string; data: any }[]> {
  const manager = await bus.manager();
  const { state } = await manager.streams.info('EVENTS');
  const found: { id: string; subject: string; data: any }[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage('EVENTS', { seq }).catch(() => null);
    if (message && subject.test(message.subject))
      found.push({ id: message.header.get('ce-id'), subject: message.subject, data: message.json() });
  }
  return found;
}
