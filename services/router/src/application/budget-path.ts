import type { BudgetPolicy } from '@meritorder/contracts';
import { spansOrgs, type EnforcedWindow } from '@meritorder/budget-core';
import { pathPrice, type PathPrice } from '@meritorder/pacing-core';
import type { ComparedNanos } from '@meritorder/pricing-core';
import type { ScarceBudget } from '@meritorder/routing-core';

/** Budgets that a request is charged to, with what is known of them: the same for every candidate that is charged to these. */
export interface BudgetPath {
  readonly windows: readonly EnforcedWindow[];
  /** By window: what a dollar of it is worth. */
  readonly shadowPrices: readonly number[];
  readonly price: PathPrice;
  /** The least that a budget of either basis can spare; undefined: none says. */
  readonly spareCash: ComparedNanos | undefined;
  readonly spareFull: ComparedNanos | undefined;
}

/** @param policyOf what budget-policy says of a budget in a window; undefined: nothing */
export function budgetPath(
  windows: readonly EnforcedWindow[],
  policyOf: (budget: string, window: string) => BudgetPolicy | undefined,
): BudgetPath {
  const shadowPrices: number[] = [];
  let spareCash: ComparedNanos | undefined;
  let spareFull: ComparedNanos | undefined;
  for (const { charge } of windows) {
    const policy = policyOf(charge.budget, charge.window);
    shadowPrices.push(policy?.shadowPrice ?? 0);
    if (policy?.spareRoomNanos === undefined) continue;
    const room = BigInt(policy.spareRoomNanos);
    if (charge.basis === 'cash') spareCash = lessOf(spareCash, room);
    else spareFull = lessOf(spareFull, room);
  }
  const price = pathPrice(windows.map((w, i) => ({ basis: w.charge.basis, lambda: shadowPrices[i]! })));
  return { windows, shadowPrices, price, spareCash, spareFull };
}

/** Those with a shadow price, of the org alone: what one that spans orgs is worth is not for its ears (ADR 27). */
export function scarceOwn({ windows, shadowPrices }: BudgetPath): ScarceBudget[] {
  return windows.flatMap(({ budget, charge }, i) => {
    const shadowPrice = shadowPrices[i]!;
    return shadowPrice > 0 && !spansOrgs(budget) ? [{ budget: charge.budget, basis: charge.basis, shadowPrice }] : [];
  });
}

function lessOf(known: ComparedNanos | undefined, room: bigint): ComparedNanos {
  return known !== undefined && known.exact <= room ? known : { exact: room, float: Number(room) };
}
