import { z } from 'zod';
import { ATTRIBUTION_KEYS, AttributionValue, Basis, NanosText, Slug } from '../primitives.js';

export const SELECTOR_KEYS = ['org', 'key', ...ATTRIBUTION_KEYS, 'provider', 'model', 'backend'] as const;
export type SelectorKey = (typeof SELECTOR_KEYS)[number];

export const WindowKind = z.enum(['day', 'week', 'month', 'total']);
export type WindowKind = z.infer<typeof WindowKind>;

/** What a budget does at a share of its limit, from the mildest to the strictest. */
export const STAGE_ACTIONS = ['notify', 'prefer-local', 'throttle', 'local-only', 'reject'] as const;
export const StageAction = z.enum(STAGE_ACTIONS);
export type StageAction = z.infer<typeof StageAction>;

/** A share of a limit, exact to a millionth. */
export const LimitShare = z.number().min(0.000_001).max(10);

/**
 * From a share of the limit on, by committed spend (settled and unconfirmed). A stage acts on what costs something in the
 * budget's basis: a spent cash budget never blocks local capacity that costs no cash.
 */
export const BudgetStage = z.object({
  at: LimitShare,
  action: StageAction,
  /** Of `throttle`: how many requests that cost something are admitted in any minute. */
  requestsPerMinute: z.int().min(1).max(1_000_000).optional(),
});
export type BudgetStage = z.infer<typeof BudgetStage>;

/** Windows that one request may be charged to. */
export const MAX_BUDGETS_PER_REQUEST = 64;
/** Different sets of attributes that the budgets of one org select by: what a look-up costs grows with them alone. */
export const MAX_SELECTOR_SHAPES = 64;
/** Instances of a template in one window, unless it says otherwise. */
export const DEFAULT_MAX_INSTANCES = 10_000;
/** A template's id becomes a part of its instances' ids. */
export const MAX_TEMPLATE_ID_LENGTH = 46;
/** Stands for the org in subjects and events of budgets that span orgs; no org can be named so. */
/**
 * Key of the bucket BUDGETS that says how many definitions it has: no budget's id begins so. A router that has not heard of as
 * many admits nothing, since a bucket that was emptied looks like a deployment without budgets.
 */
export const BUDGET_COUNT_KEY = '_count';
export const BudgetCount = z.object({ budgets: z.int().nonnegative() });

export const OPERATOR_ORG = 'operator';

/** The id of an instance ends like this; no other budget's may. */
export const INSTANCE_ID = /^(.{1,46})--[0-9a-f]{16}$/;

/**
 * A budget as routers hold it; bucket BUDGETS, key = id. Without `org` in its selector it spans orgs (the allocation of a
 * provider account), and only the operator can write it.
 */
export const BudgetDefinition = z.object({
  id: Slug,
  name: z.string(),
  selector: z.partialRecord(z.enum(SELECTOR_KEYS), z.string()),
  window: WindowKind,
  timeZone: z.string(),
  limitNanos: NanosText,
  limitVersion: z.int().min(1),
  basis: Basis,
  /** Shorthand for stages that notify. */
  thresholds: z.array(z.number().positive()),
  /** A template: one budget of this limit for each distinct tuple of values of these attributes. */
  per: z.array(z.enum(SELECTOR_KEYS)).min(1).max(4).optional(),
  /** Instances of a template with limits of their own. */
  exceptions: z
    .array(z.object({ values: z.partialRecord(z.enum(SELECTOR_KEYS), AttributionValue), limitNanos: NanosText }))
    .optional(),
  /** Instances that one window may have; default `DEFAULT_MAX_INSTANCES`. */
  maxInstances: z.int().min(1).optional(),
  /** Default `strict`: every hold covers the upper bound. `tolerant`: holds are learned and grow in slices. */
  strictness: z.enum(['strict', 'tolerant']).optional(),
  /** Of a tolerant budget: output tokens by which a hold grows while it streams. */
  sliceTokens: z.int().min(1).optional(),
  /** When its money gets a shadow price. Default `projected`. */
  pacing: z.enum(['projected', 'always', 'off']).optional(),
  stages: z.array(BudgetStage).optional(),
  /** What was left of one window is added to the next, at most this share of the limit. */
  carryOver: z.object({ maxShare: LimitShare }).optional(),
  /** What was carried into one window. A revision replaces the one before. */
  carry: z.object({ window: z.string(), nanos: NanosText, revision: z.int().min(1).max(999) }).optional(),
});
export type BudgetDefinition = z.infer<typeof BudgetDefinition>;

/** The org in subjects and events of a budget. */
export function orgOfBudget(budget: Pick<BudgetDefinition, 'selector'>): string {
  return budget.selector.org ?? OPERATOR_ORG;
}
