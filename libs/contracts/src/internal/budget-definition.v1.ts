import { z } from 'zod';
import { ATTRIBUTION_KEYS, Basis, NanosText, Slug } from '../primitives.js';

export const SELECTOR_KEYS = ['org', 'key', ...ATTRIBUTION_KEYS, 'provider', 'model', 'backend'] as const;
export type SelectorKey = (typeof SELECTOR_KEYS)[number];

export const WindowKind = z.enum(['day', 'week', 'month', 'total']);
export type WindowKind = z.infer<typeof WindowKind>;

/** A budget as routers hold it; bucket BUDGETS, key = id. */
export const BudgetDefinition = z.object({
  id: Slug,
  name: z.string(),
  selector: z.partialRecord(z.enum(SELECTOR_KEYS), z.string()),
  window: WindowKind,
  timeZone: z.string(),
  limitNanos: NanosText,
  limitVersion: z.int().min(1),
  basis: Basis,
  thresholds: z.array(z.number().positive()),
});
export type BudgetDefinition = z.infer<typeof BudgetDefinition>;
