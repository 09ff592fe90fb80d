import { afterEach, expect, it, vi } from 'vitest';
import { EXAMPLES, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { acquireLease, releaseLease, relayOutbox, savePacing } from '@meritorder/ledger-store';
import { connectBus, openBucket } from '@meritorder/messaging';
import type { PacedBudget } from '../application/pacing/paced-budget.js';
import { BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { useWorld } from './fixture.for-tests.js';
import { PacingDesk } from './pacing-desk.js';
import { PacingKeeper } from './pacing-keeper.js';
import { PolicyBucket } from './policy-bucket.nats.js';

const world = useWorld();
const DAY = new Date().toISOString().slice(0, 10);
const WINDOW = { budget: 'daily', window: DAY, basis: 'cash' as const };
const WAIT = { timeout: 15_000, interval: 20 };

const running: { keeper: PacingKeeper; bucket: PolicyBucket }[] = [];
afterEach(async () => {
  for (const { keeper, bucket } of running.splice(0)) {
    await keeper.onApplicationShutdown();
    bucket.close();
  }
});

async function keeperOf(policy: BudgetPolicyRuntime): Promise<PacingKeeper> {
  const bucket = await PolicyBucket.open(world.bus);
  const keeper = new PacingKeeper(policy, bucket);
  policy.pacingChanged = () => keeper.tick();
  running.push({ keeper, bucket });
  return keeper;
}
const make = (limitUsd: string, pacing: 'projected' | 'always' | 'off' = 'projected') =>
  world.set('daily', { selector: { org: 'acme' }, window: 'day', limitUsd, pacing });

async function decide(attemptId: string, expectedUsd: number, id = attemptId): Promise<void> {
  const example = EXAMPLES.events['routing.decision-made.v1'] as RoutingDecisionMadeV1;
  const candidate = {
    ...example.candidates[0]!,
    expectedCashUsd: expectedUsd,
    expectedFullUsd: expectedUsd,
    valueUsd: 0.03,
    scoreUsd: 0.02,
    budgets: [{ ...WINDOW, shadowPrice: 0 }],
  };
  const cheap = { ...candidate, backend: 'cheap', expectedCashUsd: expectedUsd / 10, valueUsd: 0.015, scoreUsd: 0.01 };
  const data = { ...example, attemptId, decidedAt: new Date().toISOString(), candidates: [candidate, cheap] };
  await world.bus.publishEvent({
    type: 'routing.decision-made.v1',
    subject: 'routing.decision-made.v1.acme',
    id,
    time: data.decidedAt,
    data,
  });
}

async function rate(attemptId: string, nanos: number, id = `${attemptId}/r1`): Promise<void> {
  const cost = { cashNanos: String(nanos), fullNanos: String(nanos) };
  const data = { ...EXAMPLES.events['metering.usage-rated.v1'], attemptId, windows: [WINDOW], cost, change: cost };
  await world.bus.publishEvent({
    type: 'metering.usage-rated.v1',
    subject: 'metering.usage-rated.v1.acme',
    id,
    time: new Date().toISOString(),
    data: { ...data, occurredAt: new Date().toISOString() },
  });
}

/** Requests that are decided, booked and rated. */
async function requests(name: string, count: number, usd = 0.01): Promise<void> {
  for (let i = 0; i < count; i++) {
    const nanos = Math.round(usd * 1e9);
    await decide(`${name}-${i}`, usd);
    await world.charge(`${name}-${i}`, BigInt(nanos), [WINDOW]);
    await rate(`${name}-${i}`, nanos);
  }
}

async function kept(): Promise<PacedBudget | undefined> {
  const [row] = await world.db.query(`select state from pacing_state where budget = 'daily'`);
  return row?.state;
}

/** Ticks until everything that was published is counted. */
async function until(keeper: PacingKeeper, decisions: number, charges = decisions): Promise<PacedBudget> {
  await vi.waitFor(async () => {
    await keeper.tick();
    expect(await kept()).toMatchObject({ decisions, charges });
  }, WAIT);
  return (await kept())!;
}

async function inBucket(): Promise<any> {
  return (await (await openBucket(world.bus, 'POLICY')).get('daily'))?.json();
}

async function events(): Promise<{ type: string; body: any }[]> {
  const found: { type: string; body: any }[] = [];
  await relayOutbox(world.db, 'budget-policy', 1_000, async (row) => {
    await world.bus.publishEvent({
      type: row.type as 'budget.forecast-changed.v1',
      subject: row.subject,
      id: row.messageId,
      time: row.occurredAt,
      data: row.body as any,
    });
    found.push({ type: row.type, body: row.body });
  });
  return found;
}

it('decisions that overspend have a price in the bucket after the tick that counts them, and events that say why', async () => {
  await make('1');
  const keeper = await keeperOf(world.policy);
  await requests('t1', 40);
  const state = await until(keeper, 40);
  expect(state).toMatchObject({ stage: 'tighten', inForce: true, inFlightUsd: 0 });
  expect(await inBucket()).toMatchObject({ window: DAY, stage: 'tighten', shadowPrice: state.shown, paused: false });
  expect(state.shown).toBeGreaterThan(0);
  const said = await events();
  expect(said.map((e) => e.type)).toContain('budget.forecast-changed.v1');
  const price = said.find((e) => e.type === 'policy.shadow-price-changed.v1')!;
  expect(price.body).toMatchObject({ budget: 'daily', org: 'acme', direction: 'tightened', why: 'stage', from: 0 });
  expect(price.body.reason).toMatch(/a dollar counts .* instead of \$1/);
});

it('decisions and charges that are delivered again change nothing', async () => {
  await make('1');
  const keeper = await keeperOf(world.policy);
  await requests('t2', 35);
  await until(keeper, 35);
  const before = await kept();
  for (let i = 0; i < 35; i++) {
    await decide(`t2-${i}`, 0.01, `again-${i}`);
    await rate(`t2-${i}`, 10_000_000, `again-${i}/r1`);
  }
  await requests('t3', 1);
  const after = await until(keeper, 36);
  expect(after.inFlightUsd).toBe(0);
  expect(after.price!.open.requests).toBeLessThanOrEqual(before!.price!.open.requests + 1);
  const [hour] = await world.db.query(`select sum(requests)::int as requests, sum(spend_usd) as usd from pacing_hour`);
  expect(hour.requests).toBe(36);
  expect(hour.usd).toBeCloseTo(0.36, 9);
});

it('an instance that takes over goes on where the one that was killed stopped, and says nothing twice', async () => {
  await make('1');
  const bus = await connectBus({ url: world.bus.nats.getServer(), name: 'first', inboxPrefix: '_INBOX_first' });
  const { config, database, counters, book } = world.policy;
  const first = await keeperOf(new BudgetPolicyRuntime(config, bus, database, counters, book, 1_000));
  await requests('t4', 40);
  const before = await until(first, 40);
  const told = (await events()).length;
  const second = await keeperOf(await world.another());
  await second.tick();
  expect(await kept()).toEqual(before);
  // Killed: it neither released its lease nor stopped in order, and had charges in hand that nothing was made of.
  await requests('t4b', 2);
  await bus.nats.close();
  await world.db.query(`update lease set expires_at = now() - interval '1 s' where name = 'pacing'`);
  await second.tick();
  await requests('t5', 3);
  const after = await until(second, 45);
  expect(after.sinceMs).toBe(before.sinceMs);
  expect(after.sequence).toBeGreaterThanOrEqual(before.sequence);
  expect(await inBucket()).toMatchObject({ stage: 'tighten', shadowPrice: after.shown });
  const sequences = (await events()).map((e) => e.body.sequence);
  expect(told + sequences.length).toBe(after.sequence);
});

it('what was decided under a lease that somebody else holds now is not kept', async () => {
  const held = await acquireLease(world.db, 'pacing', 'first', 4_000);
  const save = (holder: string, fence: bigint, state: object) =>
    savePacing(
      world.db,
      { name: 'pacing', holder, fence },
      {
        budgets: [{ id: 'daily', state }],
        forgottenBudgets: [],
        hours: [],
        attempts: [],
        forgottenAttempts: [],
        events: [],
      },
    );
  await save('first', held!.fence, { by: 'first' });
  await releaseLease(world.db, 'pacing', 'first');
  const next = await acquireLease(world.db, 'pacing', 'second', 4_000);
  await save('second', next!.fence, { by: 'second' });
  await expect(save('first', held!.fence, { by: 'first, late' })).rejects.toThrow('was lost');
  expect(await kept()).toEqual({ by: 'second' });
});

it('a tick that cannot be kept is made again from what was, and loses nothing', async () => {
  await make('1');
  const first = await keeperOf(world.policy);
  await requests('t6', 5);
  await until(first, 5);
  await world.db.query(
    `create function depose() returns trigger language plpgsql as $$ begin raise exception 'late'; end $$`,
  );
  await world.db.query(`create trigger depose before insert or update on pacing_state execute function depose()`);
  await requests('t7', 2);
  await vi.waitFor(() => expect(first.tick()).rejects.toThrow('late'), WAIT);
  await world.db.query(`drop trigger depose on pacing_state; drop function depose`);
  expect(await kept()).toMatchObject({ decisions: 5 });
  await until(first, 7);
});

it('a new window begins without what the last one spent', async () => {
  await make('1');
  const keeper = await keeperOf(world.policy);
  await requests('t8', 40);
  await until(keeper, 40);
  const tomorrow = new Date(Date.now() + 24 * 3_600_000);
  await keeper.tick(tomorrow.getTime());
  const state = (await kept())!;
  expect(state).toMatchObject({ windowId: tomorrow.toISOString().slice(0, 10), spentNanos: '0' });
  expect(await inBucket()).toMatchObject({ window: state.windowId, shadowPrice: state.shown });
});

it('what an operator pins and pauses through another instance is in force when it is answered, and told with the name', async () => {
  await make('1');
  const keeper = await keeperOf(world.policy);
  keeper.onApplicationBootstrap();
  await requests('t9', 2);
  const desk = new PacingDesk(await world.another());
  const pin = await desk.carryOut({ verb: 'pin', budget: 'daily', shadowPrice: 3, by: 'ada', reason: 'audit' });
  expect(pin.budgets).toMatchObject([{ budget: 'daily', shadowPrice: 3, pinned: true, by: 'ada' }]);
  await vi.waitFor(async () => expect(await inBucket()).toMatchObject({ shadowPrice: 3, pinned: true }), WAIT);
  const both = await desk.carryOut({ verb: 'pin', budget: 'daily', stage: 'warn', by: 'ada', reason: 'audit' });
  expect(both.budgets).toMatchObject([{ stage: 'warn', shadowPrice: 3, pinned: true }]);
  const other = await desk.carryOut({ verb: 'pin', budget: 'daily', shadowPrice: 2, by: 'ada', reason: 'audit' });
  expect(other.budgets).toMatchObject([{ stage: 'warn', shadowPrice: 2, pinned: true }]);
  await desk.carryOut({ verb: 'unpin', budget: 'daily', by: 'ada', reason: '' });
  await desk.carryOut({ verb: 'pin', budget: 'daily', stage: 'tighten', by: 'ada', reason: 'launch' });
  await desk.carryOut({ verb: 'pause', budget: 'daily', by: 'bob', reason: '' });
  await vi.waitFor(async () => expect(await inBucket()).toMatchObject({ stage: 'tighten', paused: true }), WAIT);
  await desk.carryOut({ verb: 'unpin', budget: 'daily', by: 'bob', reason: '' });
  await desk.carryOut({ verb: 'resume', budget: 'daily', by: 'bob', reason: '' });
  const said = await events();
  expect(said.filter((e) => e.body.why === 'operator').map((e) => e.body.by)).toEqual(
    expect.arrayContaining(['ada', 'bob']),
  );
  await expect(desk.carryOut({ verb: 'pause', budget: 'none', by: 'ada', reason: '' })).rejects.toThrow(
    'there is no budget "none"',
  );
});

it('a budget that is in force no more leaves the bucket', async () => {
  await make('1');
  const keeper = await keeperOf(world.policy);
  await requests('t10', 2);
  await until(keeper, 2);
  expect(await inBucket()).toBeDefined();
  await world.policy.book.carryOut({ verb: 'remove', id: 'daily', by: 'ada' });
  await vi.waitFor(async () => {
    await keeper.tick();
    expect((await (await openBucket(world.bus, 'POLICY')).get('daily'))?.operation).toBe('DEL');
  }, WAIT);
});
