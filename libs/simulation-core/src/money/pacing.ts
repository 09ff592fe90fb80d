import type { EnforcedWindow, WindowState } from '@meritorder/budget-core';
import type { Basis } from '@meritorder/contracts';
import {
  beginShadowPrice,
  beginWindow,
  countRequest,
  countSettlement,
  LEAST_REQUESTS,
  spareRoomNanos,
  tick,
  type RoomReading,
  type ShadowPrice,
} from '@meritorder/pacing-core';
import type { ArrivalsForecast } from './arrivals-forecast.js';

/** Expected cost of what was chosen, USD. */
export type ExpectedUsd = Readonly<Record<Basis, number>>;

interface Paced {
  budget: EnforcedWindow['budget'];
  price: ShadowPrice;
  /** Of a budget that is paced when projected: whether it is. */
  active: boolean;
  inFlightUsd: number;
  matched: number;
  /** Sums of the cheapest candidates' and of the chosen ones' E[cost], USD. */
  cheapestUsd: number;
  chosenUsd: number;
  roomNanos: bigint | undefined;
  changes: number;
}

type Reading = RoomReading & {
  /** Of all arrivals those that matched the budget. */
  share: number;
};

/** Below this a price of money that was not thought to last says that it does. */
const SCARCE_FROM = 0.01;

/**
 * Shadow prices on the virtual clock: those of budgets paced `always`, and of `projected` ones from when what is spent and what is
 * forecast of the rest at the mean cost of a request is more than the limit, until their price says that money is not scarce. They
 * start cold, as nothing was logged before the first request. A total has no end that it could be paced to.
 */
export class Pacing {
  private readonly paced = new Map<string, Paced>();
  private arrivals = 0;

  constructor(
    private readonly forecast: ArrivalsForecast,
    private readonly windowOf: (of: EnforcedWindow) => WindowState | undefined,
  ) {}

  /** USD of value that a USD of this budget is worth. */
  shadowPrice(of: EnforcedWindow): number {
    const paced = this.paced.get(of.budget.id);
    return paced?.active && paced.price.window.id === of.window.id ? paced.price.published : 0;
  }

  /** The largest bound that an attempt may hold other than the cheapest in the budget's basis; undefined: no rule. */
  spareRoomNanos(of: EnforcedWindow): bigint | undefined {
    const paced = this.paced.get(of.budget.id);
    return paced?.active && paced.price.window.id === of.window.id ? paced.roomNanos : undefined;
  }

  arrived(atMs: number): void {
    this.arrivals += 1;
    this.forecast.arrived(atMs);
  }

  /**
   * @param chosen undefined: it was refused
   * @param cheapest what the cheapest candidate of each basis is expected to cost in it
   */
  asked(
    windows: readonly EnforcedWindow[],
    chosen: ExpectedUsd | undefined,
    cheapest: ExpectedUsd,
    nowMs: number,
  ): void {
    for (const of of windows) {
      const { basis, pacing = 'projected' } = of.budget.definition;
      if (pacing === 'off' || of.window.endMs === null) continue;
      const paced = this.of(of, nowMs, pacing === 'always');
      const expectedUsd = chosen?.[basis] ?? 0;
      paced.matched += 1;
      paced.inFlightUsd += expectedUsd;
      paced.cheapestUsd += cheapest[basis];
      paced.chosenUsd += expectedUsd;
      paced.price = countRequest(paced.price, expectedUsd);
      const isDue = paced.price.open.requests >= LEAST_REQUESTS;
      if (!isDue && !paced.active) continue;
      const window = this.reading(paced, of, of.window.endMs, nowMs);
      if (isDue) this.decide(paced, of, window, nowMs);
      // The product reads it twice a second, ticks or not.
      if (paced.active) paced.roomNanos = spareRoomNanos(paced.price, window);
    }
  }

  settled(windows: readonly EnforcedWindow[], expected: ExpectedUsd, actual: ExpectedUsd): void {
    for (const of of windows) {
      const { basis } = of.budget.definition;
      const paced = this.paced.get(of.budget.id);
      if (!paced) continue;
      paced.inFlightUsd = Math.max(0, paced.inFlightUsd - expected[basis]);
      paced.price = countSettlement(paced.price, { expectedUsd: expected[basis], actualUsd: actual[basis] });
    }
  }

  /** How often routers were told another policy, by the id of a budget or instance. */
  changes(): Map<string, number> {
    return new Map(Array.from(this.paced, ([id, { changes }]) => [id, changes]));
  }

  private of(of: EnforcedWindow, nowMs: number, always: boolean): Paced {
    let paced = this.paced.get(of.budget.id);
    if (!paced) {
      paced = {
        budget: of.budget,
        price: beginShadowPrice({ window: of.window }, nowMs),
        active: always,
        inFlightUsd: 0,
        matched: 0,
        cheapestUsd: 0,
        chosenUsd: 0,
        roomNanos: undefined,
        changes: 0,
      };
      this.paced.set(of.budget.id, paced);
    } else if (paced.price.window.id !== of.window.id) {
      paced.price = beginWindow(paced.price, of.window);
      paced.roomNanos = undefined;
      paced.changes += paced.active ? 1 : 0;
    }
    return paced;
  }

  private reading(paced: Paced, of: EnforcedWindow, endMs: number, nowMs: number): Reading {
    const window = this.windowOf(of);
    const share = paced.matched / Math.max(1, this.arrivals);
    return {
      share,
      limitNanos: window?.limitNanos ?? of.asked.limitNanos,
      spentNanos: window ? window.settledNanos + window.unconfirmedNanos : 0n,
      reservedNanos: window?.reservedNanos ?? 0n,
      forecastRequestsToEnd: share * this.forecast.from(nowMs, endMs, of.budget.definition.timeZone),
      cheapestUsdPerRequest: paced.cheapestUsd / paced.matched,
    };
  }

  private decide(paced: Paced, of: EnforcedWindow, window: Reading, nowMs: number): void {
    const { limitNanos, spentNanos, forecastRequestsToEnd, share } = window;
    const { pacing, timeZone } = of.budget.definition;
    if (!paced.active) {
      const meanUsd = paced.chosenUsd / paced.matched;
      const projectedUsd = Number(spentNanos) / 1e9 + paced.inFlightUsd + forecastRequestsToEnd * meanUsd;
      if (projectedUsd <= Number(limitNanos) / 1e9) {
        paced.price = { ...paced.price, open: { requests: 0, expectedUsd: 0, correctionUsd: 0 } };
        return;
      }
      paced.active = true;
      paced.changes += 1;
    }
    const forecastRequests = share * this.forecast.until(nowMs, paced.price.demand.atMs, timeZone);
    const ticked = tick(
      paced.price,
      { limitNanos, spentNanos, inFlightUsd: paced.inFlightUsd, forecastRequests, forecastRequestsToEnd },
      nowMs,
    );
    paced.price = ticked.price;
    if (ticked.change) paced.changes += 1;
    if (pacing !== 'always' && paced.price.lambda < SCARCE_FROM) {
      paced.active = false;
      paced.changes += 1;
    }
  }
}
