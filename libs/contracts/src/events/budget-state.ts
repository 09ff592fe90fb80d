import { z } from 'zod';
import { Basis, Instant, NanosText, Slug, UsdText } from '../primitives.js';

/** Which budget, which window, which basis, and the numbers it was decided by: what every event of a budget's state says. */
export const BudgetState = z.object({
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
  selector: z.record(z.string(), z.string()),
  limitVersion: z.int().min(1),
  limitNanos: NanosText,
  settledNanos: NanosText,
  unconfirmedNanos: NanosText,
  /** For people: what was spent (settled and unconfirmed) and the limit. */
  spentUsd: UsdText,
  limitUsd: UsdText,
  /** Counts the changes of this budget, from 1: with the budget it is the identity of the event, and orders them. */
  sequence: z.int().min(1),
});

/** The identity of a change, also its CloudEvents id. */
export function budgetStateEventId(
  type: 'exhausted' | 'recovered' | 'stage' | 'forecast' | 'shadow-price',
  event: { budget: string; sequence: number },
): string {
  return `${event.budget}/${type}/${event.sequence}`;
}
