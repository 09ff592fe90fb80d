import { expect, it } from 'vitest';
import { BudgetDefinition, parseConfig } from '@meritorder/contracts';
import { budgetOfAllocation, budgetOfConfig } from './index.js';

const config = parseConfig(
  `
version: 1
orgs: [{ id: acme }]
backends:
  - { id: b, kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 5 }
budgets:
  - id: each
    selector: { org: acme }
    per: [customer]
    exceptions: [{ values: { customer: big }, limitUsd: "50.000000001" }]
    window: day
    limitUsd: 5
    strictness: tolerant
    sliceTokens: 100
    stages: [{ at: 0.8, action: throttle, requestsPerMinute: 6 }]
accounts:
  - { provider: p, allocation: { limitUsd: 5000, window: month, throttleFrom: 0.9 }, requestsPerMinute: 500 }
  - { provider: q }
`,
  'my.yaml',
);

it('a configured budget is the definition in nano-USD, and valid', () => {
  const definition = { ...budgetOfConfig(config.budgets[0]!), limitVersion: 1 };
  expect(BudgetDefinition.parse(definition)).toEqual(definition);
  expect(definition).toMatchObject({
    name: 'each',
    limitNanos: '5000000000',
    exceptions: [{ values: { customer: 'big' }, limitNanos: '50000000001' }],
    stages: [{ at: 0.8, action: 'throttle', requestsPerMinute: 6 }],
  });
});

it("an account's allocation is a cash budget of the provider across orgs that throttles as it runs out", () => {
  const definition = { ...budgetOfAllocation(config.accounts[0]!)!, limitVersion: 1 };
  expect(BudgetDefinition.parse(definition)).toEqual(definition);
  expect(definition).toMatchObject({
    id: 'account-p',
    selector: { provider: 'p' },
    limitNanos: '5000000000000',
    basis: 'cash',
    stages: [{ at: 0.9, action: 'throttle', requestsPerMinute: 6 }],
  });
  expect(budgetOfAllocation(config.accounts[1]!)).toBeUndefined();
});
