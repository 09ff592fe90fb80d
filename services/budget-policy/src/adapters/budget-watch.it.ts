import { afterEach, beforeAll, expect, it } from 'vitest';
import { Logger } from '@nestjs/common';
import { instanceId } from '@meritorder/budget-core';
import { waitFor } from '@meritorder/testing';
import { BudgetWatch } from './budget-watch.js';
import { publishedOn, publishRated, useWorld } from './fixture.for-tests.js';
import { OutboxRelay } from './outbox-relay.js';

const world = useWorld();
const month = new Date().toISOString().slice(0, 7);
// The stream remembers the ids of events, so each test has a budget of its own.
const running: { onApplicationShutdown(): Promise<void> }[] = [];

beforeAll(() => Logger.overrideLogger(false));
afterEach(async () => {
  for (const one of running.splice(0)) await one.onApplicationShutdown();
});

async function watch(policy = world.policy): Promise<void> {
  const [watching, relay] = [new BudgetWatch(policy), new OutboxRelay(policy)];
  running.push(watching, relay);
  await watching.onApplicationBootstrap();
  relay.onApplicationBootstrap();
}
async function spend(attemptId: string, nanos: bigint, ...budgets: string[]): Promise<void> {
  const windows = budgets.map((budget) => ({ budget, window: month, basis: 'cash' as const }));
  await world.charge(attemptId, nanos, windows);
  await publishRated(world.bus, attemptId, windows);
}
const told = async () =>
  (await publishedOn(world.bus, /^(budget|policy)\./)).map(({ id, subject }) => `${subject.split('.v1.')[0]} ${id}`);

it('of two instances that see the same, each stage and the end of a budget are told once, and its recovery too', async () => {
  await world.set('org', {
    selector: { org: 'acme' },
    window: 'month',
    limitUsd: '0.000001',
    thresholds: [],
    stages: [
      { at: 0.5, action: 'prefer-local' },
      { at: 1, action: 'local-only' },
    ],
  });
  await watch();
  await watch(await world.another());
  for (let i = 0; i < 10; i++) await spend(`a${i}`, 100n, 'org');
  await waitFor(async () => (await told()).length === 3, 'the budget to be exhausted');
  await world.set('org', { limitUsd: '0.00001' });
  await world.policy.budgetsChanged(['org']);
  await waitFor(async () => (await told()).length >= 5, 'the budget to be recovered');
  // Two relays publish; the sequence orders what they do.
  const events = (await publishedOn(world.bus, /^(budget|policy)\./)).toSorted(
    (a, b) => a.data.sequence - b.data.sequence,
  );
  expect(events.map(({ id, subject }) => `${subject.split('.v1.')[0]} ${id}`)).toEqual([
    'policy.stage-changed org/stage/1',
    'policy.stage-changed org/stage/2',
    'budget.exhausted org/exhausted/3',
    'policy.stage-changed org/stage/4',
    'budget.recovered org/recovered/5',
  ]);
  expect(events.at(3)!.data).toMatchObject({ from: 'local-only', to: 'none', direction: 'relaxed', why: 'limit' });
});

it('what was crossed while nobody looked is told when somebody looks again, by the limit of then', async () => {
  await world.set('missed', { selector: { org: 'acme' }, window: 'month', limitUsd: '0.000001', thresholds: [0.5] });
  await world.charge('a', 600n, [{ budget: 'missed', window: month, basis: 'cash' }]);
  await watch();
  await waitFor(async () => (await told()).includes(`budget.threshold-crossed missed/${month}/0.5/v1`), 'the crossing');
});

it('a relay that was down for a day publishes what it had not, and nothing again', async () => {
  await world.set('late', { selector: { org: 'acme' }, window: 'month', limitUsd: '0.000001', thresholds: [0.5, 0.8] });
  await watch();
  await spend('a', 600n, 'late');
  await waitFor(async () => (await told()).length === 2, 'the first crossing');
  await Promise.all(running.splice(0).map((one) => one.onApplicationShutdown()));
  // As a crash after publishing leaves it, and long after the stream has forgotten the id.
  const [first] = await publishedOn(world.bus, /^budget\.threshold/);
  const manager = await world.bus.manager();
  await manager.streams.update('EVENTS', { duplicate_window: 100_000_000 });
  await world.db.query(
    `insert into outbox (owner, type, subject, message_id, body, occurred_at) select 'budget-policy', 'budget.threshold-crossed.v1', $1, id, body,
       now() - interval '1 day' from (values ($2, $3::jsonb), ($4, $5::jsonb)) as v(id, body)`,
    [
      first!.subject,
      first!.id,
      JSON.stringify(first!.data),
      `late/${month}/0.8/v1`,
      JSON.stringify({ ...first!.data, threshold: 0.8 }),
    ],
  );
  await watch();
  await waitFor(
    async () =>
      ((await world.db.query(`select 1 from outbox where owner = 'budget-policy'`)) as unknown[]).length === 0,
    'the outbox to be empty',
  );
  expect((await publishedOn(world.bus, /^budget\.threshold/)).map((e) => e.id)).toEqual([
    `late/${month}/0.5/v1`,
    `late/${month}/0.8/v1`,
  ]);
});

it('a limit of its own arms the thresholds of one instance of a template, and no other is told again', async () => {
  await world.set('each', {
    selector: { org: 'acme' },
    per: ['customer'],
    window: 'month',
    limitUsd: '0.000001',
    thresholds: [0.5],
  });
  await watch();
  for (const customer of ['big', 'small']) {
    const values = { customer };
    const window = {
      budget: instanceId('each', values),
      window: month,
      basis: 'cash' as const,
      template: 'each',
      values,
    };
    await world.charge(customer, 1_000n, [window]);
    await publishRated(world.bus, customer, [window]);
  }
  const crossings = () => publishedOn(world.bus, /^budget\.threshold/);
  await waitFor(async () => (await crossings()).length === 2, 'both to cross');
  await world.policy.book.carryOut({
    verb: 'except',
    id: 'each',
    values: { customer: 'big' },
    limitUsd: '0.000002',
    by: 'ada',
  });
  await world.policy.budgetsChanged(['each']);
  await waitFor(async () => (await crossings()).length === 3, 'the changed one to cross again');
  expect((await crossings()).at(-1)!.data).toMatchObject({
    budget: instanceId('each', { customer: 'big' }),
    template: 'each',
    values: { customer: 'big' },
    limitNanos: '2000',
    limitVersion: 2,
  });
});

it("an account's allocation is told to the operator alone", async () => {
  await world.set('account-simco', {
    selector: { provider: 'simco' },
    window: 'month',
    limitUsd: '0.000001',
    thresholds: [],
  });
  await watch();
  await spend('a', 1_000n, 'account-simco');
  const [event] = await waitFor(async () => {
    const events = await publishedOn(world.bus, /^budget\.exhausted/);
    return events.length > 0 && events;
  }, 'the allocation to be exhausted');
  expect(event).toMatchObject({ subject: 'budget.exhausted.v1.operator.account-simco', data: { org: 'operator' } });
});
