import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  BUCKETS,
  BUDGET_COUNT_KEY,
  EXAMPLES,
  type BudgetDefinition,
  type MeritorderConfig,
} from '@meritorder/contracts';
import { busOn, ensureTopology, openBucket, type Bus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import { waitFor } from '@meritorder/testing';
import { NatsCatalogue } from './catalogue.nats.js';

const nats = useNats();
const config = {
  orgs: [{ id: 'acme', departments: [], keys: [], subscribers: [] }],
  backends: [{ id: 'b', kind: 'cloud', provider: 'p', model: 'm', modelAliases: [] }],
  routes: [],
  tiers: [],
  accounts: [],
} as unknown as MeritorderConfig;
const budget: BudgetDefinition = {
  id: 'org',
  name: 'Org',
  selector: { org: 'acme' },
  window: 'month',
  timeZone: 'UTC',
  limitNanos: '10',
  limitVersion: 1,
  basis: 'cash',
  thresholds: [],
};
let bus: Bus;

beforeAll(async () => {
  bus = busOn(await connect({ servers: nats.url }), 'test');
  await ensureTopology(bus, config);
});
afterAll(() => bus.close());

async function catalogue(): Promise<{ known: NatsCatalogue; errors: string[] }> {
  const errors: string[] = [];
  const known = new NatsCatalogue(config, bus, (message) => errors.push(message));
  await known.start();
  return { known, errors };
}

it('a router that hears of fewer budgets than there are admits nothing until it knows them all', async () => {
  const bucket = await openBucket(bus, BUCKETS.budgets.name);
  const { known } = await catalogue();
  expect(known.knowsAllBudgets()).toBe(false);
  await bucket.put(BUDGET_COUNT_KEY, JSON.stringify({ budgets: 2 }));
  await bucket.put('org', JSON.stringify(budget));
  await waitFor(() => known.budgetsOf({ org: 'acme' })(config.backends[0]!).length === 1, 'the first budget');
  expect(known.knowsAllBudgets()).toBe(false);
  await bucket.put('other', JSON.stringify({ ...budget, id: 'other' }));
  await waitFor(() => known.knowsAllBudgets(), 'all to be known');
  await bucket.delete('other');
  await waitFor(() => known.budgetsOf({ org: 'acme' })(config.backends[0]!).length === 1, 'one to be gone');
  expect(known.knowsAllBudgets()).toBe(true);
  known.close();
});

it('a value that cannot be read leaves the last good one in force, and says so (pitfall 21)', async () => {
  const prices = await openBucket(bus, BUCKETS.prices.name);
  const version = { ...EXAMPLES.events['price.version-published.v1'].version, backend: 'b' };
  await prices.put('b', JSON.stringify([version]));
  const { known, errors } = await catalogue();
  const now = Date.parse('2027-01-01T00:00:00Z');
  expect(known.price('b', now)?.id).toBe(version.id);
  await prices.put('b', '[{"id": "pv-broken", "cash": {"inputPicosPerToken": "-1"}}]');
  await waitFor(() => errors.length > 0, 'the complaint');
  expect(errors[0]).toMatch(/^b keeps its last good value/);
  expect(known.price('b', now)?.id).toBe(version.id);
  known.close();
});
