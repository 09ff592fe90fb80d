import type { PolicyShadowPriceChangedV1 } from '@meritorder/contracts';
import {
  amountAt,
  beginShadowPrice,
  BUFFER,
  countDemand,
  demandLevel,
  hoursOf,
  isLogDue,
  LEAST_REQUESTS,
  tick,
  withLog,
  type HourlyRate,
  type LoggedRequest,
  type OpenTick,
  type PriceChange,
  type ShadowPrice,
} from '@meritorder/pacing-core';
import type { StoredBudget } from '@meritorder/ledger-store';
import { firstPrice, requestsOf } from './first-price.js';
import { apart, money } from './money.js';
import type { PacedBudget, Word } from './paced-budget.js';
import type { LoggedDecision } from './traffic-facts.js';

const NOTHING_OPEN: OpenTick = { requests: 0, expectedUsd: 0, correctionUsd: 0 };

export interface PriceMove {
  from: number;
  to: number;
  why: PolicyShadowPriceChangedV1['why'];
  reason: string;
  numbers: PriceChange | null;
}

export interface PriceFacts {
  stored: StoredBudget;
  word: Word | null;
  /** An operator has just said something. */
  spoken: boolean;
  /** Since the last look. */
  windowBegan: boolean;
  requestRate: HourlyRate;
  log(): readonly LoggedDecision[];
  limitNanos: bigint;
  spentNanos: bigint;
}

/**
 * The price of a budget that routers are told, and the controller's own. While it is not in force the controller rests, for
 * nothing follows its price then; when it comes into force it starts from the last requests.
 */
export function movePrice(
  state: PacedBudget,
  facts: PriceFacts,
  nowMs: number,
): { state: PacedBudget; move: PriceMove | null } {
  const { word } = facts;
  const mode = facts.stored.definition.pacing ?? 'projected';
  if (state.price === null) return show({ ...state, inForce: false }, word?.shadowPrice ?? 0, facts, null);
  if (word?.paused && word.shadowPrice === null)
    return { state: { ...state, price: rest(state.price, facts, nowMs) }, move: null };
  const inForce = mode === 'always' || (mode === 'projected' && state.stage === 'tighten');
  if (word?.shadowPrice != null)
    return show({ ...state, inForce, price: rest(state.price, facts, nowMs) }, word.shadowPrice, facts, null);
  if (!inForce) return show({ ...state, inForce, price: rest(state.price, facts, nowMs) }, 0, facts, null);
  const { price, read } = state.inForce
    ? learning(state, state.price, facts, nowMs)
    : start(state, state.price, facts, nowMs);
  const ticked = tick(
    price,
    {
      limitNanos: facts.limitNanos,
      spentNanos: facts.spentNanos,
      inFlightUsd: state.inFlightUsd,
      forecastRequests: expected(facts.requestRate, price.demand.atMs, nowMs),
      forecastRequestsToEnd: toEnd(price, facts.requestRate, nowMs),
      cheapestUsdPerRequest: state.cheapestUsd,
    },
    nowMs,
  );
  return show({ ...state, inForce, price: ticked.price }, ticked.price.published, facts, ticked.change, read);
}

/** Requests forecast from now until the window ends. */
export function toEnd({ window }: ShadowPrice, rate: HourlyRate, nowMs: number): number {
  return window.endMs === null ? 0 : expected(rate, nowMs, window.endMs);
}

function expected(rate: HourlyRate, fromMs: number, untilMs: number): number {
  return amountAt(rate, hoursOf(fromMs), hoursOf(untilMs));
}

/** Demand is counted on; what was spent says nothing of a price that nobody followed. */
function rest(price: ShadowPrice, { requestRate }: PriceFacts, nowMs: number): ShadowPrice {
  const { requests } = price.open;
  if (requests < LEAST_REQUESTS) return price;
  const forecastRequests = expected(requestRate, price.demand.atMs, nowMs);
  return {
    ...price,
    demand: countDemand(price.demand, { requests, forecastRequests }, nowMs),
    open: NOTHING_OPEN,
  };
}

interface Learning {
  price: ShadowPrice;
  /** From how many requests it was read as a first price; 0: it was not. */
  read: number;
}

/** A price that began without a log starts from the first one; a curve is drawn anew when its log is another. */
function learning(state: PacedBudget, price: ShadowPrice, facts: PriceFacts, nowMs: number): Learning {
  if (!isLogDue(price)) return { price, read: 0 };
  const log = logOf(state, facts);
  if (log.length < LEAST_REQUESTS) return { price, read: 0 };
  return price.curve ? { price: withLog(price, log), read: 0 } : start(state, price, facts, nowMs);
}

/**
 * Coming into force: the price at which the last requests would have lasted, else that which is kept of the last window, else that
 * of a cold start; what was counted before was not priced.
 */
function start(state: PacedBudget, before: ShadowPrice, facts: PriceFacts, nowMs: number): Learning {
  const price = rest(before, facts, nowMs);
  const leftUsd = (Number(facts.limitNanos) * (1 - BUFFER) - Number(facts.spentNanos)) / 1e9 - state.inFlightUsd;
  const requests = Math.max(1, demandLevel(price.demand) * toEnd(price, facts.requestRate, nowMs));
  const log = logOf(state, facts);
  const first = firstPrice(log, state.budget, Math.max(0, leftUsd) / requests);
  if (!first) return { price: { ...price, open: NOTHING_OPEN }, read: 0 };
  const { window, demand, ticked } = price;
  return { price: { ...beginShadowPrice({ window, ...first }, nowMs), demand, ticked }, read: log.length };
}

function logOf({ budget }: PacedBudget, { log, stored }: PriceFacts): LoggedRequest[] {
  return requestsOf(log(), { id: budget, basis: stored.definition.basis });
}

function show(
  state: PacedBudget,
  to: number,
  facts: PriceFacts,
  change: PriceChange | null,
  read = 0,
): { state: PacedBudget; move: PriceMove | null } {
  const from = state.shown;
  if (to === from) return { state, move: null };
  const { why, text } = cause(state, to, facts, change, read);
  const [now, before] = apart(1 + to, 1 + from);
  const reason = `a dollar counts ${now} instead of ${before}: ${text}`;
  return {
    state: { ...state, shown: to, shownWhy: why, shownReason: reason },
    move: { from, to, why, reason, numbers: change },
  };
}

function cause(
  state: PacedBudget,
  to: number,
  { word, spoken, stored, windowBegan }: PriceFacts,
  change: PriceChange | null,
  read: number,
): { why: PriceMove['why']; text: string } {
  if (word?.shadowPrice != null || spoken)
    return { why: 'operator', text: `${word?.by ?? 'an operator'} said so${word?.reason ? ` (${word.reason})` : ''}` };
  if (state.shown === 0 && to > 0)
    return {
      why: 'stage',
      text: `${stored.definition.pacing === 'always' ? 'it is always paced' : 'the projection tightened'}`,
    };
  if (to === 0) {
    if ((stored.definition.pacing ?? 'projected') === 'off') return { why: 'definition', text: 'its pacing is off' };
    if (state.projectedAtMs !== null && state.unconstrained === null)
      return { why: 'window', text: 'its window has no end' };
    return windowBegan
      ? { why: 'window', text: 'a new window began' }
      : { why: 'stage', text: 'the projection relaxed' };
  }
  if (!change && read > 0) return { why: 'stage', text: `it is the first price, from the last ${read} requests` };
  // Nothing else moves a price without a tick.
  if (!change || (windowBegan && change.reason !== 'exhausted'))
    return { why: 'window', text: 'a new window began, and the price is the mean of the last' };
  return { why: change.reason, text: sentence(change) };
}

function sentence(change: PriceChange): string {
  const left = `${money(change.remainingUsd)} left`;
  if (change.reason === 'exhausted') return 'nothing is left that could be planned with';
  if (change.reason === 'room-again') return `there is room again, ${left}`;
  const level = `demand ${Number(change.level.toFixed(2))} times its forecast`;
  const spent = money(change.spentUsdPerRequest ?? 0);
  return `a request costs ${spent}, ${money(change.affordableUsdPerRequest)} would last (${left}, ${level})`;
}
