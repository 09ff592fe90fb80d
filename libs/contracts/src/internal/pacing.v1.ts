import { z } from 'zod';
import { BudgetOutlook } from '../events/budget-forecast-changed.v1.js';
import { Basis, Instant, NanosText, Slug } from '../primitives.js';
import { BudgetPolicy, ForecastStage } from './budget-policy.v1.js';

const Word = { budget: Slug, by: z.string().min(1).max(128), reason: z.string().max(500).default('') };

/** Rows of one answer. */
export const PACED_PER_ANSWER = 500;

/** `budget-policy.pacing.v1`: an operator looks at projections and shadow prices, holds them fast, or lets them go. */
export const PacingRequest = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('list'), org: Slug.optional(), after: Slug.optional() }),
  /** Holds a stage or a shadow price, whatever comes; at a price that is held there is no rule of room. */
  z
    .object({
      verb: z.literal('pin'),
      ...Word,
      stage: ForecastStage.optional(),
      shadowPrice: BudgetPolicy.shape.shadowPrice.optional(),
    })
    .refine((pin) => (pin.stage === undefined) !== (pin.shadowPrice === undefined), 'pin a stage or a shadow price'),
  z.object({ verb: z.literal('unpin'), ...Word }),
  /** Stage and shadow price stay what they are; room is read on. */
  z.object({ verb: z.literal('pause'), ...Word }),
  z.object({ verb: z.literal('resume'), ...Word }),
]);
export type PacingRequest = z.infer<typeof PacingRequest>;

export const PacedBudgetRow = z.object({
  budget: Slug,
  name: z.string(),
  org: Slug,
  window: z.string(),
  windowEnd: Instant.nullable(),
  basis: Basis,
  pacing: z.enum(['projected', 'always', 'off']),
  limitNanos: NanosText,
  spentNanos: NanosText,
  /** Null: nothing is projected yet. */
  unconstrained: BudgetOutlook.nullable(),
  withPacing: BudgetOutlook.nullable(),
  stage: ForecastStage,
  shadowPrice: z.number().min(0),
  /** As routers are told: the largest upper bound that any but a request's cheapest attempt may hold; null: no rule. */
  spareRoomNanos: NanosText.nullable().default(null),
  pinned: z.boolean(),
  paused: z.boolean(),
  by: z.string().nullable(),
  reason: z.string(),
  changedAt: Instant.nullable(),
});
export type PacedBudgetRow = z.infer<typeof PacedBudgetRow>;

export const PacingReply = z.union([
  z.object({ budgets: z.array(PacedBudgetRow), more: z.boolean().default(false) }),
  z.object({ error: z.object({ message: z.string() }) }),
]);
export type PacingReply = z.infer<typeof PacingReply>;
