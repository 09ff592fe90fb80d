import type { NatsConnection } from '@nats-io/transport-node';
import { waitFor } from '@meritorder/testing';
import { connectDatabase } from '@meritorder/ledger-store';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GLOBEX_KEY, post, startGatewayProduct } from './gateway-product.js';
import { ask, chat } from './harness.js';

/** Invariant 10 on a budget that all orgs spend: what globex is told while acme spends the allocation of the account. */
const LIMIT_USD = '0.0012';
const told: string[] = [];
let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let globex: NatsConnection;
let operator: NatsConnection;
const ofOperator: any[] = [];
const ofGlobex: any[] = [];

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [{ id: 'quick' }],
    config: {
      accounts: [{ provider: 'simco', allocation: { window: 'month', limitUsd: LIMIT_USD } }],
      budgets: [{ id: 'globex-all', selector: { org: 'globex' }, window: 'total', limitUsd: '1' }],
    },
  });
  [globex, operator] = await Promise.all([product.app('globex'), product.stack.connectOperator()]);
  // All that it may hear.
  for (const subject of [
    'routing.decision-made.v1.globex',
    'budget.*.v1.globex.*',
    'policy.*.v1.globex.*',
    'metering.usage-rated.v1.globex',
  ])
    globex.subscribe(subject, {
      callback: (_error, message) => {
        told.push(message.string());
        if (message.subject.startsWith('routing.')) ofGlobex.push(message.json());
      },
    });
  operator.subscribe('routing.decision-made.v1.operator', { callback: (_e, m) => void ofOperator.push(m.json()) });
  await Promise.all([globex.flush(), operator.flush()]);
});
afterAll(async () => {
  await operator?.close();
  await product?.stop();
});

async function overHttp(words: number, key?: string): Promise<any> {
  const body = { model: 'quick', messages: [{ role: 'user', content: `Write ${words} words.` }], max_tokens: 200 };
  const response = await post(product.url, body, key === undefined ? {} : { key });
  const answer = await response.json();
  if (key === GLOBEX_KEY) told.push(JSON.stringify([...response.headers]), JSON.stringify(answer));
  return answer;
}

it('what others spend of an allocation is in nothing that an org is told, and the operator knows it all', async () => {
  expect((await overHttp(2, GLOBEX_KEY)).meritorder.budgets_left).toMatchObject([{ budget: 'globex-all' }]);
  let last: any;
  await waitFor(async () => (last = await overHttp(150)).error?.code === 'budget_exhausted', {
    message: 'acme to have spent the allocation',
    timeoutMs: 30_000,
  });
  expect(last.error.message).toContain('The account at simco');
  const refused = await overHttp(100, GLOBEX_KEY);
  expect(refused.error).toMatchObject({
    code: 'budget_exhausted',
    message: expect.stringMatching(
      /^The budget The account at simco \(\d{4}-\d\d\) has no room; the next window starts/,
    ),
    details: { budget: 'account-simco', backends: ['quick'] },
    retry_after_seconds: expect.any(Number),
  });
  const answer = await ask(globex, chat('x', { model: 'quick', max_tokens: 900 }), { org: 'globex' });
  told.push(answer.string(), ...[...(answer.headers ?? [])].flatMap(([name, values]) => [name, ...values]));
  expect(answer.json<any>().error.code).toBe('budget_exhausted');

  await waitFor(() => ofGlobex.length === 3, 'globex to hear of its decisions');
  for (const decision of ofGlobex)
    expect(decision).toMatchObject({ budgetsWithheld: true, candidates: [{ budgets: [{ budget: 'globex-all' }] }] });
  // It has no amount of the allocation: neither its limit, nor what is spent or left of it.
  for (const text of told) {
    expect(text).not.toContain(LIMIT_USD);
    expect(text).not.toMatch(/account-simco[^}]*(_usd|shadowPrice)/);
    expect(text).not.toMatch(/The account at simco[^"]*\$/);
  }

  await waitFor(() => ofOperator.filter((d) => d.attribution.org === 'globex').length === 3, 'the whole decisions');
  expect(ofOperator[0].candidates[0].budgets.map((b: any) => b.budget).toSorted()).toEqual([
    'account-simco',
    'globex-all',
  ]);
  const database = await connectDatabase(product.stack.database.url, 'shared-test', 1);
  const kept = await waitFor(async () => {
    const rows = await database.query(`select record from decisions where org = 'globex'`);
    return rows.length === 3 && rows;
  }, 'the decisions in the books');
  await database.destroy();
  for (const { record } of kept) expect(record.sharedBudgets).toEqual(['account-simco']);
});
