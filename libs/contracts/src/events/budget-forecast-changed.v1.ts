import { z } from 'zod';
import { ForecastStage } from '../internal/budget-policy.v1.js';
import { Instant } from '../primitives.js';
import { BudgetState } from './budget-state.js';

/** How a window will end; estimates, USD. In four of five cases it ends between `lowUsd` and `highUsd`. */
export const BudgetOutlook = z.object({
  expectedUsd: z.number().min(0),
  lowUsd: z.number().min(0),
  highUsd: z.number().min(0),
  /** That the window ends above its limit; null: too little is known. */
  chanceAboveLimit: z.number().min(0).max(1).nullable(),
});
export type BudgetOutlook = z.infer<typeof BudgetOutlook>;

/** The projection of a budget's window has another stage, crossed the limit, or moved by more than a twentieth of it. */
export const BudgetForecastChangedV1 = z.object({
  ...BudgetState.shape,
  from: ForecastStage,
  to: ForecastStage,
  why: z.enum(['stage', 'crossed', 'moved', 'operator', 'window']),
  /** One sentence for people. */
  reason: z.string().max(1_000),
  /** The operator who said so; null: nobody did. */
  by: z.string().nullable(),
  pinned: z.boolean(),
  paused: z.boolean(),
  /** As if nothing were held back; null: nothing is projected yet. */
  unconstrained: BudgetOutlook.nullable(),
  /** With what pacing lets through; null: it lets everything through. */
  withPacing: BudgetOutlook.nullable(),
  changedAt: Instant,
});
export type BudgetForecastChangedV1 = z.infer<typeof BudgetForecastChangedV1>;
