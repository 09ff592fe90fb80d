import type { BudgetDefinition } from '@meritorder/contracts';
import { MAX_COUNTER_NANOS, type Nanos } from '@meritorder/kernel';
import { amountWithinShare } from './stages.js';

/** Revisions of a carry that one version of a limit can have. */
const REVISIONS = 1_000;

/**
 * The limit of one window, and the version by which counters know which of two limits is newer: what was carried into the
 * window raises it, and a revised carry wins over the one before under the same version of the definition.
 */
export function limitIn(
  definition: Pick<BudgetDefinition, 'limitNanos' | 'limitVersion' | 'carry'>,
  windowId: string,
): { limitNanos: Nanos; version: number } {
  const carry = definition.carry?.window === windowId ? definition.carry : undefined;
  const limitNanos = BigInt(definition.limitNanos) + (carry ? BigInt(carry.nanos) : 0n);
  return {
    limitNanos: limitNanos > MAX_COUNTER_NANOS && carry ? MAX_COUNTER_NANOS : limitNanos,
    version: definition.limitVersion * REVISIONS + (carry?.revision ?? 0),
  };
}

/**
 * What a window leaves to the next: the unspent rest of its limit (its own carry included), at most the share of the limit that
 * the budget allows, rounded down. Nothing where spend passed the limit: an overrun by correction is not carried.
 */
export function carriedNanos(
  definition: Pick<BudgetDefinition, 'limitNanos' | 'limitVersion' | 'carry' | 'carryOver'>,
  endedWindowId: string,
  spentNanos: Nanos,
): Nanos {
  if (!definition.carryOver) return 0n;
  const rest = limitIn(definition, endedWindowId).limitNanos - spentNanos;
  if (rest <= 0n) return 0n;
  const most = amountWithinShare(definition.carryOver.maxShare, BigInt(definition.limitNanos));
  return rest < most ? rest : most;
}
