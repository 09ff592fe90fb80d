import { expect, it } from 'vitest';
import { BudgetPolicyRuntime } from './budget-policy.runtime.js';

it('a duty that fails is named until it is done again (pitfall 12)', () => {
  const none = undefined as never;
  const policy = new BudgetPolicyRuntime(none, none, none, none, none, 1_000);
  expect(policy.failing()).toBeUndefined();
  policy.went('publishing events', new Error('no connection'));
  policy.went('carrying over', new Error('no table'));
  expect(policy.failing()).toBe('publishing events: no connection; carrying over: no table');
  policy.went('publishing events');
  expect(policy.failing()).toBe('carrying over: no table');
});
