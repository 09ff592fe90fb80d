import { EXAMPLES, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { expect, it } from 'vitest';
import { decisionFact } from './traffic-facts.js';

it('of a decision in two copies the whole counts, for the budgets of all orgs too, and the copy of the org does not', () => {
  const on = (budget: string) => ({ budget, window: '2026-11', basis: 'cash' as const, shadowPrice: 0 });
  const example: RoutingDecisionMadeV1 = EXAMPLES.events['routing.decision-made.v1'];
  const having = (...budgets: string[]): RoutingDecisionMadeV1 => ({
    ...example,
    candidates: example.candidates.map((c) => ({ ...c, budgets: budgets.map(on) })),
  });
  const whole = decisionFact({ ...having('acme-month', 'account-p'), sharedBudgets: ['account-p'] });
  expect(whole!.charges.map((c) => c.budget)).toEqual(['acme-month', 'account-p']);
  expect(decisionFact({ ...having('acme-month'), budgetsWithheld: true })).toBeUndefined();
});
