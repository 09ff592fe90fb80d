import { isSlug, MAX_COUNTER_NANOS, usdToNanos } from '@meritorder/kernel';
import { z } from 'zod';
import {
  INSTANCE_ID,
  LimitShare,
  MAX_SELECTOR_SHAPES,
  MAX_TEMPLATE_ID_LENGTH,
  SELECTOR_KEYS,
  StageAction,
  WindowKind,
  type SelectorKey,
} from '../internal/budget-definition.v1.js';
import { AttributionValue, Basis, Slug } from '../primitives.js';
import { TimeZone, Usd } from './decimals.js';
import type { SelectorNames } from './selector-names.js';

const Selector = z.partialRecord(z.enum(SELECTOR_KEYS), AttributionValue);
/** What an instance of a template is told apart by. */
const PER_KEYS = SELECTOR_KEYS.filter((key) => key !== 'org');

export const BudgetStageConfig = z
  .strictObject({
    at: LimitShare.meta({ description: 'Share of the limit, for example 0.8.' }),
    action: StageAction,
    requestsPerMinute: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .meta({ description: 'Of throttle: requests that cost something, in any minute.' }),
  })
  .refine((s) => (s.action === 'throttle') === (s.requestsPerMinute !== undefined), {
    message: 'throttle needs requestsPerMinute, and nothing else takes it',
  });

export const BudgetConfig = z.strictObject({
  id: Slug.refine((id) => !INSTANCE_ID.test(id), 'ends like the id of a template instance ("--" and 16 hex digits)'),
  name: z.string().max(128).optional(),
  selector: Selector.refine((s) => s.org !== undefined, 'needs an org').meta({
    description: 'A request matches when every field here equals its own.',
  }),
  per: z.array(z.enum(PER_KEYS)).min(1).max(4).optional().meta({
    description:
      'A template: every distinct value (for example of [customer]) gets a budget of its own, made on first use.',
  }),
  exceptions: z
    .array(
      z.strictObject({
        values: Selector.meta({ description: 'The instance: a value for every attribute of per.' }),
        limitUsd: Usd,
      }),
    )
    .max(10_000)
    .optional()
    .meta({ description: 'Instances of a template with limits of their own.' }),
  maxInstances: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .meta({ description: 'Instances of a template in one window. Default: 10,000.' }),
  window: WindowKind,
  timeZone: TimeZone.default('UTC'),
  limitUsd: Usd,
  basis: Basis.default('cash').meta({ description: 'cash: paid to others; full: including own hardware.' }),
  strictness: z.enum(['strict', 'tolerant']).default('strict').meta({
    description: 'strict: holds cover the upper bound. tolerant: holds are learned, and grow while streaming.',
  }),
  sliceTokens: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .meta({ description: 'Of a tolerant budget: output tokens by which a hold grows.' }),
  thresholds: z
    .array(z.number().positive().max(10))
    .max(32)
    .default([0.5, 0.8, 1])
    .meta({ description: 'Shares of the limit that publish an event.' }),
  pacing: z.enum(['projected', 'always', 'off']).default('projected').meta({
    description:
      'When its money gets a shadow price, so that it lasts the window: while the projection says that it will not; always; or never.',
  }),
  stages: z.array(BudgetStageConfig).max(16).default([]).meta({ description: 'What happens at shares of the limit.' }),
  carryOver: z
    .strictObject({ maxShare: LimitShare })
    .optional()
    .meta({ description: 'What is left of a window is added to the next, at most this share of the limit.' }),
});
export type BudgetConfig = z.infer<typeof BudgetConfig>;

type Issue = (path: (string | number)[], message: string) => void;

const BEYOND = `a counter is exact up to ${Number(MAX_COUNTER_NANOS / 1_000_000_000n)}.254740991 USD; split the budget`;

/** What a budget cannot be alone: names that must exist, ids that must not collide, and limits. */
export function checkBudgets(
  config: {
    budgets: BudgetConfig[];
    accounts: { provider: string; allocation?: { limitUsd: string } | undefined }[];
  },
  names: SelectorNames,
  issue: Issue,
): void {
  const shapes = new Map<string, Set<string>>();
  config.budgets.forEach((budget, i) => {
    const at = (...path: (string | number)[]) => ['budgets', i, ...path];
    const { org } = budget.selector;
    checkNames(budget.selector, org, names, (key, message) => issue(at('selector', key), message));
    if (usdToNanos(budget.limitUsd) > MAX_COUNTER_NANOS) issue(at('limitUsd'), BEYOND);
    if (budget.sliceTokens !== undefined && budget.strictness !== 'tolerant')
      issue(at('sliceTokens'), 'is of a tolerant budget');
    if (budget.carryOver && budget.window === 'total') issue(at('carryOver'), 'a total has no next window');
    if (budget.pacing === 'always' && budget.window === 'total')
      issue(at('pacing'), 'a total has no end to pace it to');
    checkTemplate(budget, at, issue);
    budget.exceptions?.forEach(({ values }, j) =>
      checkNames(values, org, names, (key, message) => issue(at('exceptions', j, 'values', key), message)),
    );
    checkStages(budget, (place, message) => issue(at('stages', place), message));
    const ofOrg = shapes.get(org ?? '') ?? new Set();
    shapes.set(org ?? '', ofOrg.add([...Object.keys(budget.selector), ...(budget.per ?? [])].sort().join(' ')));
    if (ofOrg.size === MAX_SELECTOR_SHAPES + 1)
      issue(at('selector'), `the budgets of ${org} select by more than ${MAX_SELECTOR_SHAPES} sets of attributes`);
  });
  const ids = new Set(config.budgets.map((b) => b.id));
  config.accounts.forEach((account, i) => {
    if (!account.allocation) return;
    checkNames({ provider: account.provider }, undefined, names, (key, message) =>
      issue(['accounts', i, key], message),
    );
    if (!isSlug(allocationId(account.provider)))
      issue(['accounts', i, 'provider'], 'is too long to have an allocation; at most 56 characters');
    if (ids.has(allocationId(account.provider)))
      issue(['accounts', i, 'allocation'], `"${allocationId(account.provider)}" is a budget already`);
    if (usdToNanos(account.allocation.limitUsd) > MAX_COUNTER_NANOS)
      issue(['accounts', i, 'allocation', 'limitUsd'], BEYOND);
  });
}

function checkNames(
  values: Readonly<Partial<Record<SelectorKey, string>>>,
  org: string | undefined,
  names: SelectorNames,
  issue: (key: string, message: string) => void,
): void {
  for (const [key, value] of Object.entries(values)) {
    const isNot = names.unknown(key as SelectorKey, value, org);
    if (isNot !== undefined) issue(key, `"${value}" is not ${isNot}, so nothing would ever count here`);
  }
}

/** What is left to do where a stage acts already. */
const OVERRULES: Readonly<Record<StageAction, readonly StageAction[]>> = {
  notify: [],
  'prefer-local': ['prefer-local'],
  throttle: ['throttle'],
  'local-only': ['prefer-local', 'throttle', 'local-only'],
  reject: ['prefer-local', 'throttle', 'local-only', 'reject'],
};

/** A stage that one at a smaller share overrules would never act. */
function checkStages({ stages }: BudgetConfig, issue: (place: number, message: string) => void): void {
  stages.forEach((stage, i) => {
    const over = stages.find(
      (other, j) =>
        (other.at < stage.at || (other.at === stage.at && j < i)) &&
        OVERRULES[other.action].includes(stage.action) &&
        (other.requestsPerMinute ?? 0) <= (stage.requestsPerMinute ?? 0),
    );
    if (over) issue(i, `${stage.action} at ${stage.at} never acts: ${over.action} does from ${over.at} on`);
  });
}

function checkTemplate(
  budget: BudgetConfig,
  at: (...path: (string | number)[]) => (string | number)[],
  issue: Issue,
): void {
  const { per } = budget;
  if (!per) {
    if (budget.exceptions || budget.maxInstances !== undefined)
      issue(at('per'), 'exceptions and maxInstances need per');
    return;
  }
  if (budget.id.length > MAX_TEMPLATE_ID_LENGTH)
    issue(at('id'), `a template's id has at most ${MAX_TEMPLATE_ID_LENGTH} characters`);
  if (new Set(per).size !== per.length || per.some((key) => budget.selector[key] !== undefined))
    issue(at('per'), 'names an attribute twice, or one that the selector fixes');
  if (budget.carryOver) issue(at('carryOver'), 'a template has none');
  const seen = new Set<string>();
  budget.exceptions?.forEach((exception, j) => {
    const keys = Object.keys(exception.values);
    if (keys.length !== per.length || per.some((key) => exception.values[key] === undefined))
      issue(at('exceptions', j, 'values'), `needs exactly ${per.join(', ')}`);
    const name = JSON.stringify(per.map((key) => exception.values[key]));
    if (seen.has(name)) issue(at('exceptions', j, 'values'), 'is there twice');
    seen.add(name);
    if (usdToNanos(exception.limitUsd) > MAX_COUNTER_NANOS) issue(at('exceptions', j, 'limitUsd'), BEYOND);
  });
}

/** The id of the budget that an account's allocation becomes. */
export function allocationId(provider: string): string {
  return `account-${provider}`;
}
