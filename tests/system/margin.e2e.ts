import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MarginReply, RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { seededRandom, usdToNanos } from '@meritorder/kernel';
import { replay } from '@meritorder/routing-core';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const run = promisify(execFile);
const perMillion = (input: string, output: string) => [
  {
    effectiveFrom: '2025-01-01T00:00:00Z',
    cash: { inputUsdPerMillionTokens: input, outputUsdPerMillionTokens: output },
  },
];
const backend = (id: string, input: string, output: string, prior: number) => ({
  id,
  behaviour: { prices: { input, output } },
  config: { prices: perMillion(input, output), quality: { prior, outcomes: 6 } },
});

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
const decisions: RoutingDecisionMadeV1[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [backend('small', '0.2', '1', 0.6), backend('large', '2', '10', 0.9)],
    config: {
      orgs: [{ id: 'acme' }, { id: 'globex' }],
      routes: [
        {
          id: 'auto',
          backends: ['small', 'large'],
          objective: 'value',
          usdPerQualityPoint: '0.002',
          exploration: { requestShare: 0.3, spendShare: 1 },
        },
      ],
      tiers: [
        { id: 'gold', charge: { markup: '1.4' } },
        { id: 'flat', charge: { markup: '0', usdPerRequest: '0.00002' } },
        { id: 'internal' },
      ],
    },
  });
  [app, operator] = [await product.app(), await product.stack.connectOperator()];
  app.subscribe('routing.decision-made.v1.acme', {
    callback: (_error, message) => void decisions.push(RoutingDecisionMadeV1.parse(message.json())),
  });
  await app.flush();
});
afterAll(() => product?.stop());

const meritorder = async (...args: string[]): Promise<string> => {
  const { nats, passwords } = product.stack;
  const env = { ...process.env, NATS_URL: nats.url, NATS_PASSWORD: passwords!['operator']! };
  return (await run(process.execPath, ['tools/cli/dist/main.js', ...args], { env, maxBuffer: 1 << 26 })).stdout;
};
const report = async (request: object = {}) => {
  const reply = MarginReply.parse(
    (await operator.request('metering.margin.v1', JSON.stringify(request), { timeout: 30_000 })).json(),
  );
  if ('error' in reply) throw new Error(reply.error.message);
  return reply;
};

it('an operator sees what each segment, backend and customer brought and cost, losers first, and whether dearer answers would pay', async () => {
  const random = seededRandom(7);
  const sums = { charged: 0n, full: 0n, revenue: 0n, requests: 0 };
  const byCustomer = new Map<string, bigint>();
  const ask1 = async (tier: string, feature: string, customer: string, model: string): Promise<void> => {
    const reply = await ask(app, chat('What is a merit order?', { model, metadata: { tier, feature, customer } }));
    expect(errorCode(reply)).toBe('');
    const { request_id, backend: by, cost } = reply.json<any>().meritorder;
    const charged = usdToNanos(cost.charged_usd ?? '0');
    const full = usdToNanos(cost.full_usd);
    let revenue = 0n;
    if (tier === 'gold' && random() < (by === 'large' ? 0.3 : 0.1)) {
      const paid = { request_id, kind: 'conversion', revenue_usd: '0.05' };
      await app.request('outcome.reported.v1.acme', JSON.stringify(paid), { timeout: 5_000 });
      revenue = usdToNanos('0.05');
    }
    sums.charged += charged;
    sums.full += full;
    sums.revenue += revenue;
    sums.requests += 1;
    byCustomer.set(customer, (byCustomer.get(customer) ?? 0n) + charged + revenue - full);
  };
  const work = Array.from({ length: 240 }, (_, i) => i);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let i = work.pop(); i !== undefined; i = work.pop()) {
        const [tier, feature, customer] = [
          ['gold', 'search', 'initech'],
          ['gold', 'chat', 'hooli'],
          ['flat', 'chat', 'globo'],
          ['internal', 'batch', 'ourselves'],
        ][i % 4] as [string, string, string];
        await ask1(tier, feature, customer, i % 8 < 4 ? 'auto' : i % 3 === 0 ? 'large' : 'small');
      }
    }),
  );
  const seen = await waitFor(
    async () => {
      const now = await report({ org: 'acme' });
      return now.total.requests === sums.requests && now.total.revenueNanos === sums.revenue.toString() && now;
    },
    { message: 'everything to be booked and joined', timeoutMs: 20_000 },
  );
  expect(seen.total).toMatchObject({ chargedNanos: sums.charged.toString(), fullNanos: sums.full.toString() });
  for (const { customer, marginNanos } of seen.customers)
    if (customer !== 'ourselves') expect(marginNanos).toBe(byCustomer.get(customer)!.toString());
  const losing = seen.rows.filter((r) => r.marginNanos?.startsWith('-'));
  // Nobody of the flat tier converts here, and its price is below what either backend costs.
  expect(losing.map((r) => [r.tier, r.backend])).toEqual([
    ['flat', 'large'],
    ['flat', 'small'],
  ]);
  expect(seen.rows.slice(0, losing.length)).toEqual(losing);
  expect(seen.customers[0]!.customer).toBe('globo');
  const verdict = seen.segments.find((s) => s.tier === 'gold' && s.feature === 'chat')!.upgrades[0]!;
  expect(verdict).toMatchObject({ from: 'small', to: 'large', verdict: 'not-enough-data' });
  expect(verdict.sentence).toMatch(/^Not enough data: .* requests per arm/);

  const lines = (await meritorder('margin', '--org', 'acme', '--days', '2')).split('\n');
  expect(lines[0]).toMatch(/: 240 requests, charged \$[\d.]+, brought \$[\d.]+, cost \$[\d.]+ in full: margin \+\$/);
  const at = lines.indexOf('these lose money:');
  expect(lines[at + 1]).toMatch(
    /^ {2}acme, tier flat, feature chat at large: -\$0\.\d+: \$0\.000200 charged for \$0\.\d+ of/,
  );
  expect(lines[at + 3]).toMatch(/^ {2}customer globo of acme: -\$/);
  expect(lines.find((l) => l.startsWith('  unknown of large: '))).toBeDefined();
});

it('exploring costs a segment at most 1 % of what it is charged, the record says so, and decides the same again', async () => {
  await waitFor(() => decisions.length >= 240, { message: 'the decisions', timeoutMs: 5_000 });
  let [guarded, unguarded] = [0, 0];
  const segments = new Map<string, { lossUsd: number; incomeUsd: number }>();
  for (const record of decisions) {
    expect(replay(JSON.parse(JSON.stringify(record)))).toMatchObject({ same: true, differences: [] });
    const { tier } = record.attribution;
    if (record.route !== 'auto') continue;
    const exploring = record.candidates.filter((c) => c.backend !== record.order![0] && (c.probability ?? 0) > 0);
    if (tier === 'internal') {
      expect(record.explorationIncomeUsd).toBeUndefined();
      unguarded += exploring.length;
      continue;
    }
    if (record.explorationIncomeUsd === undefined) continue;
    guarded++;
    const best = record.candidates.toSorted((a, b) => b.scoreUsd! - a.scoreUsd!)[0]!;
    expect(record.explorationIncomeUsd).toBe(best.numbers!.chargedUsd);
    const sums = segments.get(tier!) ?? { lossUsd: 0, incomeUsd: 0 };
    sums.incomeUsd += record.explorationIncomeUsd;
    for (const { probability, valueUsd, numbers, mostExplored } of record.candidates) {
      const lossUsd = numbers!.marginalUsd - best.numbers!.marginalUsd + best.valueUsd! - valueUsd!;
      sums.lossUsd += probability! * Math.max(0, lossUsd);
      if (mostExplored !== undefined) expect(probability).toBeLessThanOrEqual(mostExplored);
    }
    segments.set(tier!, sums);
  }
  expect([guarded > 0, unguarded > 0]).toEqual([true, true]);
  for (const { lossUsd, incomeUsd } of segments.values()) {
    expect(lossUsd).toBeGreaterThan(0);
    expect(lossUsd).toBeLessThanOrEqual(0.01 * incomeUsd * (1 + 1e-9));
  }
});

it('a period of decisions goes out as the requests of a simulation, which decides and costs what was booked', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'decisions-')), 'period.jsonl');
  const day = new Date().toISOString().slice(0, 10);
  writeFileSync(file, await meritorder('decisions', 'export', '--from', day, '--org', 'acme'));
  const exported = readFileSync(file, 'utf8').trim().split('\n');
  const { total, rows } = await report({ org: 'acme' });
  expect(exported).toHaveLength(total.requests);
  expect(exported.every((line) => JSON.parse(line).usage !== undefined)).toBe(true);
  const out = await meritorder('simulate', '--trace', file, '--config', product.stack.options.configFile, '--json');
  const [policy] = JSON.parse(out).policies;
  const booked = (backend: string): number =>
    rows.filter((r) => r.backend === backend).reduce((sum, r) => sum + r.requests, 0);
  expect(policy).toMatchObject({
    requests: total.requests,
    answered: total.requests,
    answeredBy: { large: booked('large'), small: booked('small') },
    cashNanos: total.cashNanos,
    chargedNanos: total.chargedNanos,
  });
  expect(await meritorder('decisions', 'export', '--from', '2020-01-01', '--to', '2020-02-01')).toBe('');
});

it('another org has none of it, and only operators are answered', async () => {
  expect(await report({ org: 'globex' })).toMatchObject({ rows: [], customers: [], segments: [] });
  await expect(report({ org: 'nobody' })).rejects.toThrow(/there is no org "nobody".*acme, globex/);
  await expect(report({ days: 0 })).rejects.toThrow(/days/);
  await expect(app.request('metering.margin.v1', '{}', { timeout: 500 })).rejects.toThrow();
});
