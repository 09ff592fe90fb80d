import { invariant } from '@meritorder/kernel';
import type { Dearness } from './dearness.js';
import { newDemand, type Demand } from './demand.js';
import { COLD_BOUNDS, type PriceBounds } from './price-bounds.js';
import type { SpendingCurve } from './spending-curve.js';

/** The window of a budget, as instants in ms since the epoch; a total has neither beginning nor end. */
export interface PacedWindow {
  id: string;
  startMs: number | null;
  endMs: number | null;
}

/** What was counted since the last tick. */
export interface OpenTick {
  requests: number;
  /** Sum of E[cost] of these requests, USD. */
  expectedUsd: number;
  /** Sum of (actual - E[cost]) of the attempts settled, USD; may be negative and exceed what was expected. */
  correctionUsd: number;
}

/**
 * The shadow price of one budget in one window: USD of value that one more USD of it is worth. Plain JSON of constant size;
 * changed only by the functions of this package, each of which returns a new one.
 */
export interface ShadowPrice {
  version: 1;
  window: PacedWindow;
  bounds: PriceBounds;
  /** The controller's own, moved by every tick. */
  lambda: number;
  /** What routers are told; it follows `lambda` when they have come apart. */
  published: number;
  /** While nothing is left: the price before, from which it goes on when there is room again. */
  beforeExhaustion: number | null;
  open: OpenTick;
  demand: Demand;
  /** What is known of how spending follows the price; absent: nothing. */
  curve?: SpendingCurve | undefined;
  /** Priced since the curve was drawn, or since it began; absent: none. */
  requestsSinceCurve?: number | undefined;
  /** Absent: nothing was counted yet. */
  dearness?: Dearness | undefined;
  /** Sum of the logarithms of what the window's ticks made of it; absent: none was made. */
  ticked?: { count: number; logSum: number } | undefined;
}

/** Of a budget that nothing is known of: its money counts double. It finds its place within some hundred requests. */
export const COLD_START_LAMBDA = 1;

export interface Beginning {
  window: PacedWindow;
  /** Of a warm start; absent: nothing is known. */
  lambda?: number | undefined;
  bounds?: PriceBounds | undefined;
  curve?: SpendingCurve | undefined;
}

/** A price for a budget that had none. @throws InvariantError when the price or its bounds are not finite and in order. */
export function beginShadowPrice(beginning: Beginning, nowMs: number): ShadowPrice {
  const bounds = beginning.bounds ?? COLD_BOUNDS;
  invariant(
    Number.isFinite(bounds.max) && bounds.min > 0 && bounds.min < bounds.max,
    `a price has a positive lowest and a finite highest value: ${bounds.min}, ${bounds.max}`,
  );
  const lambda = within(bounds, beginning.lambda ?? COLD_START_LAMBDA);
  return {
    version: 1,
    window: beginning.window,
    bounds,
    lambda,
    published: lambda,
    beforeExhaustion: null,
    open: { requests: 0, expectedUsd: 0, correctionUsd: 0 },
    demand: newDemand(nowMs),
    ...(beginning.curve ? { curve: beginning.curve } : {}),
  };
}

/** Counts a request that the budget matches. @param expectedUsd E[cost] of what was chosen; 0 when it was refused. */
export function countRequest(price: ShadowPrice, expectedUsd: number): ShadowPrice {
  invariant(Number.isFinite(expectedUsd) && expectedUsd >= 0, `an expected cost is not negative: ${expectedUsd}`);
  const { open } = price;
  return {
    ...price,
    open: { ...open, requests: open.requests + 1, expectedUsd: open.expectedUsd + expectedUsd },
  };
}

/** Counts an attempt that ended: what it cost beyond what was expected of it. */
export function countSettlement(
  price: ShadowPrice,
  { expectedUsd, actualUsd }: { expectedUsd: number; actualUsd: number },
): ShadowPrice {
  const correctionUsd = price.open.correctionUsd + actualUsd - expectedUsd;
  invariant(Number.isFinite(correctionUsd), `a settlement is a number: ${actualUsd} for ${expectedUsd}`);
  return { ...price, open: { ...price.open, correctionUsd } };
}

/** @throws InvariantError when the price is not finite: a broken invariant, never bad input. */
export function within(bounds: PriceBounds, lambda: number): number {
  invariant(Number.isFinite(lambda), `a shadow price is finite: ${lambda}`);
  return Math.min(bounds.max, Math.max(bounds.min, lambda));
}
