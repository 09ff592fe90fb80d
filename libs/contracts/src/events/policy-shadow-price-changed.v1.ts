import { z } from 'zod';
import { Instant } from '../primitives.js';
import { BudgetState } from './budget-state.js';

export const ShadowPriceReason = z.enum([
  'exhausted',
  'room-again',
  'spends-more-than-lasts',
  'spends-less-than-lasts',
  /**
   * The projection tightened or relaxed, or the price of a stage was first read from requests; a new window began; the budget's
   * pacing was changed; an operator said so.
   */
  'stage',
  'window',
  'definition',
  'operator',
]);

/** What a dollar of a budget counts beyond itself has changed for routers. */
export const PolicyShadowPriceChangedV1 = z.object({
  ...BudgetState.shape,
  /** USD of value that one more USD of the budget is worth. */
  from: z.number().min(0),
  to: z.number().min(0),
  direction: z.enum(['tightened', 'relaxed']),
  why: ShadowPriceReason,
  /** One sentence for people. */
  reason: z.string().max(1_000),
  /** The operator who said so; null: nobody did. */
  by: z.string().nullable(),
  /** What requests cost on average since the last look, and what would last until the window ends, USD; null: not counted. */
  spentUsdPerRequest: z.number().nullable(),
  affordableUsdPerRequest: z.number().nullable(),
  /** Demand over its forecast. */
  level: z.number().nullable(),
  remainingUsd: z.number().nullable(),
  changedAt: Instant,
});
export type PolicyShadowPriceChangedV1 = z.infer<typeof PolicyShadowPriceChangedV1>;
