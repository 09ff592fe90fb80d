import type { WindowState } from '@meritorder/budget-core';
import type { BudgetReport } from './report.js';

/** What is told of one budget, or of a template's instances together. */
export class BudgetTally {
  private readonly windows = new Set<string>();
  private firstBoundMs: number | undefined;
  private bound = 0;
  private peakShare = 0;
  private overshoot = 0n;

  constructor(readonly budget: string) {}

  see(key: string, window: WindowState): void {
    this.windows.add(key);
    const used = Math.max(Number(window.peakNanos), Number(window.settledNanos + window.reservedNanos));
    if (window.limitNanos > 0n) this.peakShare = Math.max(this.peakShare, used / Number(window.limitNanos));
    const over = window.settledNanos - window.limitNanos;
    if (over > this.overshoot) this.overshoot = over;
  }

  bind(atMs: number): void {
    this.firstBoundMs ??= atMs;
    this.bound += 1;
  }

  report(policyChanges: number): BudgetReport {
    return {
      budget: this.budget,
      windows: this.windows.size,
      firstBoundAt: this.firstBoundMs === undefined ? null : new Date(this.firstBoundMs).toISOString(),
      bound: this.bound,
      peakShare: this.peakShare,
      overshootNanos: this.overshoot.toString(),
      policyChanges,
    };
  }
}
