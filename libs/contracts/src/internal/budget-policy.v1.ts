import { z } from 'zod';
import { Instant, NanosText, Slug } from '../primitives.js';

/** What a projection makes of a budget. */
export const FORECAST_STAGES = ['steady', 'warn', 'tighten'] as const;
export const ForecastStage = z.enum(FORECAST_STAGES);

/**
 * The policy in force of one budget in one window; bucket POLICY, key = budget (of a template: the instance's id). Routers that
 * have none, or one of another window, take a shadow price of 0.
 */
export const BudgetPolicy = z.object({
  budget: Slug,
  window: z.string().min(1).max(32),
  /** USD of value that one more USD of the budget is worth; 0: money is not scarce. */
  shadowPrice: z.number().min(0).max(1e9),
  /** The largest upper bound that an attempt may hold other than a request's cheapest in the budget's basis; absent: no rule. */
  spareRoomNanos: NanosText.optional(),
  stage: ForecastStage,
  /** One sentence for people. */
  reason: z.string().max(1_000),
  /** What an operator holds fast. */
  pinned: z.boolean(),
  paused: z.boolean(),
  changedAt: Instant,
});
export type BudgetPolicy = z.infer<typeof BudgetPolicy>;
