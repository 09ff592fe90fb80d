import { windowKey, type CounterState, type EnforcedWindow } from '@meritorder/budget-core';
import {
  decideStage,
  emptySeries,
  forecastWindow,
  recordSpend,
  STEADY,
  type PolicyState,
  type SpendSeries,
} from '@meritorder/forecast-core';
import {
  beginShadowPrice,
  beginWindow,
  countRequest,
  countSettlement,
  spareRoomNanos,
  tick,
  type ShadowPrice,
} from '@meritorder/pacing-core';
import type { Nanos } from '@meritorder/kernel';

const HOUR_MS = 3_600_000;
/** How far back the mean demand is taken from. */
const DEMAND_HOURS = 168;

/**
 * The policy of one budget as budget-policy makes it: a shadow price ticked by counted traffic, and a projection of its window's end.
 * Demand to come is taken to be the mean of the last week, which is what a deployment without longer history knows.
 */
export class PacedBudget {
  shadowPrice = 0;
  spareRoom: Nanos | undefined;
  policyChanges = 0;
  private price: ShadowPrice | undefined;
  private stage: PolicyState = STEADY;
  private inFlightUsd = 0;
  private readonly requestsByHour = new Float64Array(DEMAND_HOURS);
  private firstHour: number | undefined;
  private hour = -1;
  private cheapestUsd = 0;
  private counted = 0;
  private spend: SpendSeries | undefined;
  private spendOfHour = 0;
  private lastTickMs: number | undefined;

  constructor(private readonly pacing: 'projected' | 'always' | 'off') {}

  /** A request that the budget matches. @param expectedUsd of what was chosen in the budget's basis; 0: refused */
  count(atMs: number, expectedUsd: number, cheapestUsd: number): void {
    this.moveTo(Math.floor(atMs / HOUR_MS));
    this.requestsByHour[this.hour % DEMAND_HOURS]! += 1;
    this.counted += 1;
    this.cheapestUsd += (cheapestUsd - this.cheapestUsd) / Math.min(this.counted, 2_000);
    this.inFlightUsd += expectedUsd;
    if (this.price) this.price = countRequest(this.price, expectedUsd);
  }

  settle(expectedUsd: number, actualUsd: number): void {
    this.inFlightUsd = Math.max(0, this.inFlightUsd - expectedUsd);
    this.spendOfHour += actualUsd;
    if (this.price) this.price = countSettlement(this.price, { expectedUsd, actualUsd });
  }

  /** As of an instant; called about once a virtual minute. */
  tick(at: EnforcedWindow, counters: CounterState, nowMs: number): void {
    if (this.pacing === 'off') return;
    this.moveTo(Math.floor(nowMs / HOUR_MS));
    const { window, asked } = at;
    const paced = { id: window.id, startMs: window.startMs, endMs: window.endMs };
    if (this.price === undefined) this.price = beginShadowPrice({ window: paced }, nowMs);
    else if (this.price.window.id !== window.id) {
      this.price = beginWindow(this.price, paced, nowMs);
      this.stage = STEADY;
    }
    const state = counters.windows.get(windowKey({ budget: asked.budget, window: asked.window }));
    const perHour = this.requestsPerHour();
    const hoursToEnd = Math.max(0, (window.endMs ?? nowMs + DEMAND_HOURS * HOUR_MS) - nowMs) / HOUR_MS;
    const spentNanos = (state?.settledNanos ?? 0n) + (state?.unconfirmedNanos ?? 0n);
    const { price, change } = tick(
      this.price,
      {
        limitNanos: asked.limitNanos,
        spentNanos,
        inFlightUsd: this.inFlightUsd,
        forecastRequests: (perHour * (nowMs - (this.lastTickMs ?? nowMs))) / HOUR_MS,
        forecastRequestsToEnd: perHour * hoursToEnd,
      },
      nowMs,
    );
    this.price = price;
    this.lastTickMs = nowMs;
    const scarce = this.pacing === 'always' || this.stage.stage === 'tighten';
    if (change && scarce) this.policyChanges += 1;
    this.shadowPrice = scarce ? price.published : 0;
    this.spareRoom = scarce
      ? spareRoomNanos(price, {
          limitNanos: asked.limitNanos,
          spentNanos,
          reservedNanos: state?.reservedNanos ?? 0n,
          forecastRequestsToEnd: perHour * hoursToEnd,
          cheapestUsdPerRequest: this.cheapestUsd,
        })
      : undefined;
  }

  /** Projects the window's end; called about once a virtual hour. */
  project({ window, asked }: EnforcedWindow, counters: CounterState, nowMs: number): void {
    if (this.pacing !== 'projected' || this.spend === undefined || window.startMs === null || window.endMs === null)
      return;
    const state = counters.windows.get(windowKey({ budget: asked.budget, window: asked.window }));
    const spent = Number((state?.settledNanos ?? 0n) + (state?.unconfirmedNanos ?? 0n)) / 1e9;
    const limit = Number(asked.limitNanos) / 1e9;
    const { unconstrained } = forecastWindow({
      series: this.spend,
      window: { startHour: Math.floor(window.startMs / HOUR_MS), endHour: Math.ceil(window.endMs / HOUR_MS) },
      nowHours: nowMs / HOUR_MS,
      spent,
      limit,
    });
    const { expected, low, high, chanceAboveLimit } = unconstrained;
    const decision = decideStage(
      this.stage,
      { expected, low, high, chanceAboveLimit, limit },
      (usd) => `$${usd.toFixed(2)}`,
    );
    if (decision.changed) this.policyChanges += 1;
    this.stage = decision.state;
  }

  private moveTo(hour: number): void {
    if (hour === this.hour) return;
    if (this.hour >= 0 && this.spend !== undefined) this.spend = recordSpend(this.spend, this.hour, this.spendOfHour);
    this.spend ??= emptySeries(hour);
    this.firstHour ??= hour;
    for (let h = Math.max(this.hour + 1, hour - DEMAND_HOURS + 1); h <= hour; h++)
      this.requestsByHour[h % DEMAND_HOURS] = 0;
    this.spendOfHour = 0;
    this.hour = hour;
  }

  private requestsPerHour(): number {
    const hours = Math.min(DEMAND_HOURS, this.hour - (this.firstHour ?? this.hour) + 1);
    return this.requestsByHour.reduce((sum, n) => sum + n, 0) / Math.max(1, hours);
  }
}
