import { STAGE_ACTIONS, type BudgetDefinition, type StageAction } from '@meritorder/contracts';
import { invariant, parseDecimal, type Nanos } from '@meritorder/kernel';

const SHARE_DECIMALS = 6;
const SCALE = 10n ** BigInt(SHARE_DECIMALS);

/** The stage that is in force: the strictest that committed spend has reached. */
export interface StageInForce {
  action: StageAction | 'none';
  /** The share of the limit at which it begins. */
  at: number | null;
  /** While a throttle is in force, also below a stricter stage. */
  requestsPerMinute: number | null;
}

/** Committed spend (settled and unconfirmed) in nano-USD from which each action holds, as the counters compare it. */
export interface StageAmounts {
  preferLocalFromNanos?: Nanos;
  /** Of those that are reached the lowest rate holds. */
  throttles?: readonly { fromNanos: Nanos; requestsPerMinute: number }[];
  localOnlyFromNanos?: Nanos;
  rejectFromNanos?: Nanos;
}

/** The smallest amount that is a share of a limit: spent >= amount exactly when spent / limit >= share. */
export function amountAtShare(share: number, limitNanos: Nanos): Nanos {
  return (scaledShare(share) * limitNanos + SCALE - 1n) / SCALE;
}

/** The largest amount that is not above a share of a limit. */
export function amountWithinShare(share: number, limitNanos: Nanos): Nanos {
  return (scaledShare(share) * limitNanos) / SCALE;
}

function scaledShare(share: number): bigint {
  return parseDecimal(share.toFixed(SHARE_DECIMALS), SHARE_DECIMALS);
}

export function stageAt(
  definition: Pick<BudgetDefinition, 'stages' | 'thresholds'>,
  spentNanos: Nanos,
  limitNanos: Nanos,
): StageInForce {
  const all = [
    ...definition.thresholds.map((at) => ({ at, action: 'notify' as const, requestsPerMinute: undefined })),
    ...(definition.stages ?? []),
  ];
  const reached = all.filter((stage) => spentNanos >= amountAtShare(stage.at, limitNanos));
  const strictness = (action: StageAction): number => STAGE_ACTIONS.indexOf(action);
  const strictest = reached.toSorted((a, b) => strictness(b.action) - strictness(a.action) || b.at - a.at)[0];
  const rates = reached.flatMap((s) => (s.action === 'throttle' ? [rateOf(s)] : []));
  return {
    action: strictest?.action ?? 'none',
    at: strictest?.at ?? null,
    requestsPerMinute: rates.length > 0 ? Math.min(...rates) : null,
  };
}

/** Undefined when no stage acts on requests. */
export function stageAmounts(stages: BudgetDefinition['stages'], limitNanos: Nanos): StageAmounts | undefined {
  const from = (action: StageAction): Nanos | undefined => {
    const amounts = (stages ?? []).filter((s) => s.action === action).map((s) => amountAtShare(s.at, limitNanos));
    return amounts.length > 0 ? amounts.reduce((a, b) => (a < b ? a : b)) : undefined;
  };
  const [preferLocalFromNanos, localOnlyFromNanos, rejectFromNanos] = [
    from('prefer-local'),
    from('local-only'),
    from('reject'),
  ];
  const throttles = (stages ?? [])
    .filter((s) => s.action === 'throttle')
    .map((s) => ({ fromNanos: amountAtShare(s.at, limitNanos), requestsPerMinute: rateOf(s) }));
  const amounts: StageAmounts = {
    ...(preferLocalFromNanos === undefined ? {} : { preferLocalFromNanos }),
    ...(throttles.length === 0 ? {} : { throttles }),
    ...(localOnlyFromNanos === undefined ? {} : { localOnlyFromNanos }),
    ...(rejectFromNanos === undefined ? {} : { rejectFromNanos }),
  };
  return Object.keys(amounts).length > 0 ? amounts : undefined;
}

function rateOf(stage: { requestsPerMinute?: number | undefined }): number {
  invariant(stage.requestsPerMinute !== undefined, 'a throttle has a rate');
  return stage.requestsPerMinute;
}
