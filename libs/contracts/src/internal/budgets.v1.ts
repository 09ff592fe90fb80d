import { z } from 'zod';
import { BudgetConfig } from '../config/budgets-config.js';
import { Usd } from '../config/decimals.js';
import { AttributionValue, Basis, Instant, NanosText, Slug } from '../primitives.js';
import { BudgetDefinition, SELECTOR_KEYS, StageAction } from './budget-definition.v1.js';

const By = z.string().min(1).max(128);
const Values = z.partialRecord(z.enum(SELECTOR_KEYS), AttributionValue);

/** A budget as an operator writes it: as in meritorder.yaml, and it may span orgs. */
export const OperatorBudget = BudgetConfig.extend({ selector: Values });
export type OperatorBudget = z.infer<typeof OperatorBudget>;

/** What may be changed of a budget; what is left out stays as it is. Without a budget of this id it makes one. */
export const BudgetChange = OperatorBudget.omit({ id: true })
  .extend({
    // No defaults: what is left out is not said.
    timeZone: BudgetConfig.shape.timeZone.unwrap(),
    basis: Basis,
    strictness: z.enum(['strict', 'tolerant']),
    thresholds: BudgetConfig.shape.thresholds.unwrap(),
    stages: BudgetConfig.shape.stages.unwrap(),
    pacing: BudgetConfig.shape.pacing.unwrap(),
    // Null takes it away.
    carryOver: BudgetConfig.shape.carryOver.unwrap().nullable(),
  })
  .partial();
export type BudgetChange = z.infer<typeof BudgetChange>;

/** Rows of one answer. */
export const BUDGETS_PER_ANSWER = 500;

/** `budget-policy.budgets.v1`: an operator looks at budgets, or changes them while everything runs. */
export const BudgetsRequest = z.discriminatedUnion('verb', [
  z.object({ verb: z.literal('list'), org: Slug.optional(), after: Slug.optional() }),
  /** A budget, a template or one of its instances, with what is spent and held in the window that counts now. */
  z.object({ verb: z.literal('show'), id: Slug }),
  z.object({ verb: z.literal('set'), id: Slug, change: BudgetChange, by: By }),
  /** One instance of a template gets a limit of its own; null: the template's again. */
  z.object({ verb: z.literal('except'), id: Slug, values: Values, limitUsd: Usd.nullable(), by: By }),
  z.object({ verb: z.literal('remove'), id: Slug, by: By }),
]);
export type BudgetsRequest = z.infer<typeof BudgetsRequest>;

export const BudgetRow = z.object({
  definition: BudgetDefinition,
  /** Whose word is in force, and whether the configuration says otherwise. */
  origin: z.enum(['config', 'operator']),
  configurationDiffers: z.boolean(),
  changedBy: z.string().nullable(),
  changedAt: Instant,
});
export type BudgetRow = z.infer<typeof BudgetRow>;

export const BudgetWindowRow = z.object({
  budget: Slug,
  name: z.string(),
  values: z.record(z.string(), z.string()).optional(),
  window: z.string(),
  windowStart: Instant.nullable(),
  windowEnd: Instant.nullable(),
  basis: Basis,
  /** With what was carried into this window. */
  limitNanos: NanosText,
  carriedNanos: NanosText,
  settledNanos: NanosText,
  unconfirmedNanos: NanosText,
  /** Held by requests in flight; null while the counters are being rebuilt. */
  heldNanos: NanosText.nullable(),
  stage: z.enum(['none', ...StageAction.options]),
  requestsPerMinute: z.int().nullable(),
  exhausted: z.boolean(),
  /**
   * Spent above the limit in force, by cause: the limit was lowered below what was spent; prices and invoices that came late; and
   * what neither explains: an overrun, which must be zero unless a provider bills above its bound.
   */
  above: z.object({ loweredNanos: NanosText, correctedNanos: NanosText, overrunNanos: NanosText }),
});
export type BudgetWindowRow = z.infer<typeof BudgetWindowRow>;

export const BudgetsReply = z.union([
  z.object({
    budgets: z.array(BudgetRow),
    windows: z.array(BudgetWindowRow).default([]),
    /** There are more after this id. */
    more: z.boolean().default(false),
    notes: z.array(z.string()).default([]),
  }),
  z.object({ error: z.object({ message: z.string() }) }),
]);
export type BudgetsReply = z.infer<typeof BudgetsReply>;
