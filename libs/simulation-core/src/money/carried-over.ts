import { carriedNanos, windowAt, windowKey, type EnforcedBudget, type WindowState } from '@meritorder/budget-core';
import type { Nanos } from '@meritorder/kernel';

/** A budget in the last window that something was carried into, or in which the run began. */
interface Carrying {
  windowId: string;
  endMs: number;
  budget: EnforcedBudget;
}

/**
 * What windows leave to those after them, as the product carries it: once nothing is in flight in the window that ended. What
 * was carried into the window that the run begins in is not known.
 */
export class CarriedOver {
  private readonly byBudget = new Map<string, Carrying>();

  constructor(
    private readonly beginMs: number,
    private readonly windowOf: (key: string) => Pick<WindowState, 'reservedNanos'> | undefined,
    private readonly spentIn: (key: string) => Nanos,
  ) {}

  /** The budget with what was carried into the window that counts now. */
  into(budget: EnforcedBudget, nowMs: number): EnforcedBudget {
    const { carryOver, window: kind, timeZone } = budget.definition;
    if (!carryOver) return budget;
    let last = this.byBudget.get(budget.id);
    if (!last) {
      const { id, endMs } = windowAt(kind, timeZone, this.beginMs);
      last = { windowId: id, endMs: endMs ?? Infinity, budget };
    }
    while (last.endMs <= nowMs) {
      const key = windowKey({ budget: budget.id, window: last.windowId });
      if ((this.windowOf(key)?.reservedNanos ?? 0n) > 0n) return budget;
      last = this.next(last, key);
    }
    this.byBudget.set(budget.id, last);
    return last.budget;
  }

  private next({ windowId, endMs, budget }: Carrying, key: string): Carrying {
    const { definition } = budget;
    const next = windowAt(definition.window, definition.timeZone, endMs);
    const nanos = carriedNanos(definition, windowId, this.spentIn(key)).toString();
    const carry = { window: next.id, nanos, revision: 1 };
    return { windowId: next.id, endMs: next.endMs!, budget: { ...budget, definition: { ...definition, carry } } };
  }
}
