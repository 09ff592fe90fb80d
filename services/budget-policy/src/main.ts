import { runService } from '@meritorder/service-kit';
import { budgetPolicyModule } from './budget-policy.module.js';

/** Keeps budgets, thresholds and epochs, and hands events to the orgs. */
await runService({ name: 'budget-policy', module: budgetPolicyModule });
