import { z } from 'zod';
import { Basis, Instant, NanosText, Slug, UsdText } from '../primitives.js';

/** Exactly once per budget, window, threshold and limit version; the event's id is made of these four. */
export const BudgetThresholdCrossedV1 = z.object({
  budget: Slug,
  budgetName: z.string(),
  /** Of a template's instance. */
  template: Slug.optional(),
  values: z.record(z.string(), z.string()).optional(),
  /** `operator` for a budget that spans orgs. */
  org: Slug,
  window: z.string(),
  windowStart: Instant.nullable(),
  windowEnd: Instant.nullable(),
  timeZone: z.string(),
  basis: Basis,
  /** Share of the limit, above 0; 1 is the limit itself. */
  threshold: z.number().positive(),
  limitVersion: z.int().min(1),
  limitNanos: NanosText,
  settledNanos: NanosText,
  unconfirmedNanos: NanosText,
  /** For people: what was spent (settled and unconfirmed) and the limit. */
  spentUsd: UsdText,
  limitUsd: UsdText,
  selector: z.record(z.string(), z.string()),
  crossedAt: Instant,
});
export type BudgetThresholdCrossedV1 = z.infer<typeof BudgetThresholdCrossedV1>;

/** The identity of a crossing, also its CloudEvents id. */
export function thresholdEventId(e: {
  budget: string;
  window: string;
  threshold: number;
  limitVersion: number;
}): string {
  return `${e.budget}/${e.window}/${e.threshold}/v${e.limitVersion}`;
}
