import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { windowAt } from '@meritorder/budget-core';
import { nanosToUsd, newId } from '@meritorder/kernel';
import {
  acquireLease,
  carryingBudgets,
  carryOf,
  definitionsSince,
  hasOpenAttempts,
  recordCarry,
  releaseLease,
  storedBudgets,
  windowTotals,
  type CarryOver,
  type StoredBudget,
} from '@meritorder/ledger-store';
import { Repeating } from '@meritorder/service-kit';
import { decideCarry, inDefinition } from '../application/decide-carry.js';
import { withCarry } from '../application/plan-budgets.js';
import { windowBefore } from '../application/window-named.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

const EVERY_MS = 5_000;
const LEASE_MS = 20_000;
/** A router whose clock is behind may still grant in the window that is over. */
const SETTLING_MS = 10_000;

/** Carries what a window left into the next, once nothing of it is in flight any more. */
@Injectable()
export class CarryKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(CarryKeeper.name);
  private readonly holder = newId();
  private readonly round = new Repeating(EVERY_MS, () => this.carry());

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    this.round.start((error) => {
      this.policy.went('carrying over', error);
      if (error) this.log.warn(error.message);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.round.stop();
    await releaseLease(this.policy.database, 'carry-over', this.holder).catch(() => {});
  }

  async carry(nowMs = Date.now()): Promise<void> {
    const { database } = this.policy;
    if (!(await acquireLease(database, 'carry-over', this.holder, LEASE_MS))) return;
    for (const stored of (await storedBudgets(database, await carryingBudgets(database))).values())
      await this.carryInto(stored, nowMs);
  }

  private async carryInto(stored: StoredBudget, nowMs: number): Promise<void> {
    const { database } = this.policy;
    const { id, window: kind, timeZone } = stored.definition;
    const window = windowAt(kind, timeZone, nowMs);
    const before = windowBefore(kind, timeZone, nowMs);
    if (!before || nowMs < window.startMs! + SETTLING_MS) return;
    const [atEnd] = await definitionsSince(database, id, window.startMs! - 1);
    // A budget that did not exist then, or whose windows were others, left nothing.
    if (!atEnd || atEnd.recordedAtMs >= window.startMs!) return;
    if (atEnd.definition.window !== kind || atEnd.definition.timeZone !== timeZone) return;
    if (!(await this.isQuiescent(id, before.id))) return;
    const [total] = await windowTotals(database, [{ budget: id, window: before.id }]);
    const carried = await carryOf(database, id, window.id);
    const next = decideCarry({
      definition: { ...atEnd.definition, carryOver: stored.definition.carryOver },
      carriedBefore: await carryOf(database, id, before.id),
      fromWindow: before.id,
      window: window.id,
      spentNanos: total ? total.settledNanos + total.unconfirmedNanos : 0n,
      carried,
    });
    if (next && (await recordCarry(database, next)))
      this.log.log(`${id}: $${nanosToUsd(next.nanos)} carried from ${next.fromWindow} into ${next.window}`);
    await this.putInForce(stored, next ?? carried);
  }

  /** Also when an earlier one was recorded and its writer died then. */
  private async putInForce(stored: StoredBudget, carry: CarryOver | undefined): Promise<void> {
    const known = stored.definition.carry;
    if (!carry || (known?.window === carry.window && known.revision === carry.revision)) return;
    if (carry.nanos === 0n && known?.window !== carry.window) return;
    const { id } = stored.definition;
    await this.policy.book.apply(id, (all) => {
      const now = all.get(id);
      return now && !now.retired && now.definition.carryOver ? [withCarry(now, inDefinition(carry))] : [];
    });
    await this.policy.budgetsChanged([id]);
  }

  /** Nothing is open as far as the books know, and nothing is held as far as the counters do. */
  private async isQuiescent(budget: string, window: string): Promise<boolean> {
    const { counters, database } = this.policy;
    if (counters.openEpochId() === undefined) return false;
    const [counted] = await counters.inspectWindows([{ budget, window }]);
    return (counted?.reservedNanos ?? 0n) === 0n && !(await hasOpenAttempts(database, budget, window));
  }
}
