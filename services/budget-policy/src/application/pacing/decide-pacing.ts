import type { BudgetForecastChangedV1, BudgetPolicy, PolicyShadowPriceChangedV1 } from '@meritorder/contracts';
import { decideStage, type ForecastStage } from '@meritorder/forecast-core';
import { beginShadowPrice, beginWindow, spareRoomNanos, type HourlyRate } from '@meritorder/pacing-core';
import type { StoredBudget } from '@meritorder/ledger-store';
import { describe, NOTHING_SPENT, type Spent } from '../counted-budget.js';
import { windowNow } from '../window-rows.js';
import { money } from './money.js';
import { movePrice, toEnd, type PriceMove } from './move-price.js';
import type { PacedBudget, Word } from './paced-budget.js';
import { LEAST_COUNT, type WindowProjection } from './project-window.js';
import type { LoggedDecision } from './traffic-facts.js';

export type PacingEvent =
  { kind: 'forecast'; event: BudgetForecastChangedV1 } | { kind: 'shadow-price'; event: PolicyShadowPriceChangedV1 };

export interface PacingFacts {
  stored: StoredBudget;
  spent: Spent | undefined;
  /** Upper bounds in flight, by the counters. */
  reservedNanos: bigint;
  word: Word | null;
  /** Requests by the hour. */
  requestRate: HourlyRate;
  /** Asked only when a projection is due; undefined: not in this round, unless it is urgent. */
  project(limitUsd: number, spentUsd: number, urgent: boolean): WindowProjection | undefined;
  /** The last requests that matched it, oldest first. */
  log(): readonly LoggedDecision[];
}

export interface PacingDecision {
  state: PacedBudget;
  events: PacingEvent[];
}

export const PROJECT_EVERY_MS = 60_000;
/** Of the limit: what an expected end has to move by until it is told again, and beyond the limit until it has crossed it. */
const TOLD_SHARE = 0.05;
const CROSSED_SHARE = 0.01;
/** A young projection moves with every minute; stages and crossings are told at once all the same. */
const MOVED_EVERY_MS = 15 * 60_000;
const ROOM_SHARE = 0.1;

type Said = ReturnType<typeof describe>;

/** The state in the window that counts now, before traffic of it is counted; stage and price are decided with its projection. */
export function openWindow(state: PacedBudget, stored: StoredBudget, nowMs: number): PacedBudget {
  const window = windowNow(stored, nowMs);
  if (state.windowId === window.id) return state;
  const price =
    window.endMs === null
      ? null
      : state.price === null || state.price.window.id === window.id
        ? beginShadowPrice({ window }, nowMs)
        : beginWindow(state.price, window);
  return {
    ...state,
    windowId: window.id,
    windowStart: iso(window.startMs),
    windowEnd: iso(window.endMs),
    price,
    roomNanos: null,
    inFlightUsd: 0,
    projectedAtMs: null,
    unconstrained: null,
    withPacing: null,
    toldUsd: null,
  };
}

/**
 * One look at one budget whose window is open: its projection where one is due, the stage that follows with hysteresis, its price,
 * and the events of what changed.
 */
export function decidePacing(before: PacedBudget, facts: PacingFacts, nowMs: number): PacingDecision {
  const { stored, word } = facts;
  const spent = facts.spent ?? NOTHING_SPENT;
  const subject = { budget: before.budget, template: before.template, values: before.values };
  const said = describe(subject, stored, windowNow(stored, nowMs), spent);
  const spentNanos = spent.settledNanos + spent.unconfirmedNanos;
  const limited = { ...before, limitNanos: said.limitNanos, spentNanos: spentNanos.toString(), word };
  const spoken = (word?.changedAt ?? null) !== (before.word?.changedAt ?? null);
  const exhausted = spentNanos >= BigInt(said.limitNanos);
  const due =
    spoken ||
    before.projectedAtMs === null ||
    (before.unconstrained?.chanceAboveLimit === null && isKnown(before)) ||
    nowMs - before.projectedAtMs >= PROJECT_EVERY_MS ||
    before.limitNanos !== said.limitNanos ||
    (exhausted && BigInt(before.spentNanos) < BigInt(before.limitNanos));
  const projected = due ? stageOf(limited, facts, spoken, nowMs) : undefined;
  // Not projected in its window yet: routers go on as in the one before, until it is its turn.
  if (!projected && before.projectedAtMs === null) return { state: before, events: [] };
  const staged = projected ?? limited;
  const windowBegan = before.projectedAtMs === null;
  const moved = movePrice(
    staged,
    { ...facts, spentNanos, limitNanos: BigInt(said.limitNanos), spoken, windowBegan },
    nowMs,
  );
  let state = withRoom(moved.state, { ...facts, spentNanos, limitNanos: BigInt(said.limitNanos) }, nowMs);
  const events: PacingEvent[] = [];
  const forecast = projected ? forecastWhy(before, state, spoken, nowMs) : undefined;
  if (forecast) {
    state = told(state, nowMs);
    events.push({ kind: 'forecast', event: forecastEvent(said, before.stage, state, forecast, nowMs) });
  }
  if (moved.move && moved.move.from !== moved.move.to) {
    state = { ...state, sequence: state.sequence + 1, changedAtMs: nowMs };
    events.push({ kind: 'shadow-price', event: priceEvent(said, state, moved.move, nowMs) });
  }
  return { state, events };
}

/** What routers are told. */
export function policyOf(state: PacedBudget): BudgetPolicy {
  return {
    budget: state.budget,
    window: state.windowId ?? 'total',
    shadowPrice: state.shown,
    ...(state.roomNanos === null ? {} : { spareRoomNanos: state.roomNanos }),
    stage: state.stage,
    reason: reasonOf(state).slice(0, 1_000),
    pinned: isPinned(state.word),
    paused: state.word?.paused ?? false,
    changedAt: new Date(state.changedAtMs ?? state.sinceMs).toISOString(),
  };
}

/** Why it is as it is, in one sentence: of the price where one is in force, else of the projection. */
export function reasonOf(state: PacedBudget): string {
  return state.shown > 0 && state.shownReason ? `${state.stageReason}; ${state.shownReason}` : state.stageReason;
}

export function isPinned(word: Word | null): boolean {
  return word !== null && (word.stage !== null || word.shadowPrice !== null);
}

/** Whether a projection is worth making that had too little to go by before. */
function isKnown({ decisions, charges }: PacedBudget): boolean {
  return Math.max(decisions, charges) >= LEAST_COUNT;
}

function stageOf(
  state: PacedBudget,
  { word, project }: PacingFacts,
  spoken: boolean,
  nowMs: number,
): PacedBudget | undefined {
  const limitUsd = usd(state.limitNanos);
  if (state.windowEnd === null) {
    const reason = 'a total has no end that it could be paced to';
    return { ...state, projectedAtMs: nowMs, stage: word?.stage ?? 'steady', stageReason: reason };
  }
  const projection = project(limitUsd, usd(state.spentNanos), spoken);
  if (!projection) return undefined;
  const { unconstrained, withPacing } = projection;
  const decided = decideStage(
    // A new window starts steady.
    { stage: state.projectedAtMs === null && !word?.paused ? 'steady' : state.stage },
    {
      chanceAboveLimit: unconstrained.chanceAboveLimit ?? undefined,
      expected: unconstrained.expectedUsd,
      low: unconstrained.lowUsd,
      high: unconstrained.highUsd,
      limit: limitUsd,
    },
    money,
    { pinned: word?.stage ?? undefined, paused: word?.paused ?? false },
  );
  const by =
    word && (word.stage !== null || word.paused) ? ` (${word.by}${word.reason ? `: ${word.reason}` : ''})` : '';
  return {
    ...state,
    projectedAtMs: nowMs,
    unconstrained,
    withPacing,
    stage: decided.state.stage,
    stageReason: decided.reason + by,
  };
}

/** A reading and no policy, so a pause does not keep it. Whoever pins a price has said what money counts: no rule stands beside it. */
function withRoom(
  state: PacedBudget,
  facts: PacingFacts & { spentNanos: bigint; limitNanos: bigint },
  nowMs: number,
): PacedBudget {
  if (!state.inForce || state.price === null || state.word?.shadowPrice != null) return { ...state, roomNanos: null };
  const room = spareRoomNanos(state.price, {
    limitNanos: facts.limitNanos,
    spentNanos: facts.spentNanos,
    reservedNanos: facts.reservedNanos,
    forecastRequestsToEnd: toEnd(state.price, facts.requestRate, nowMs),
    cheapestUsdPerRequest: state.cheapestUsd,
  });
  const known = state.roomNanos === null ? null : Number(state.roomNanos);
  const same = known !== null && room > 0n === known > 0 && Math.abs(Number(room) - known) <= ROOM_SHARE * known;
  return same ? state : { ...state, roomNanos: room.toString() };
}

function forecastWhy(
  before: PacedBudget,
  state: PacedBudget,
  spoken: boolean,
  nowMs: number,
): BudgetForecastChangedV1['why'] | undefined {
  if (spoken) return 'operator';
  if (before.stage !== state.stage)
    return before.projectedAtMs === null && state.stage === 'steady' ? 'window' : 'stage';
  if (!state.unconstrained || state.unconstrained.chanceAboveLimit === null) return undefined;
  if (state.toldUsd === null) return 'window';
  const limitUsd = usd(state.limitNanos);
  const expectedUsd = headlineUsd(state)!;
  const distance = Math.abs(expectedUsd - state.toldUsd);
  if (expectedUsd > limitUsd !== state.toldUsd > limitUsd && distance > CROSSED_SHARE * limitUsd) return 'crossed';
  const rested = nowMs - (state.changedAtMs ?? 0) >= MOVED_EVERY_MS;
  return rested && distance > TOLD_SHARE * limitUsd ? 'moved' : undefined;
}

/** While it is held back, the end is what pacing lets through: the other moves only because less was spent. */
function headlineUsd({ stage, unconstrained, withPacing }: PacedBudget): number | null {
  return (stage === 'tighten' ? withPacing : null)?.expectedUsd ?? unconstrained?.expectedUsd ?? null;
}

function told(state: PacedBudget, nowMs: number): PacedBudget {
  const known = state.unconstrained?.chanceAboveLimit != null;
  return {
    ...state,
    toldUsd: known ? headlineUsd(state) : state.toldUsd,
    sequence: state.sequence + 1,
    changedAtMs: nowMs,
  };
}

function forecastEvent(
  said: Said,
  from: ForecastStage,
  state: PacedBudget,
  why: BudgetForecastChangedV1['why'],
  nowMs: number,
): BudgetForecastChangedV1 {
  const { word } = state;
  return {
    ...said,
    sequence: state.sequence,
    from,
    to: state.stage,
    why,
    reason: (why === 'operator' && word ? wordText(word) : state.stageReason).slice(0, 1_000),
    by: why === 'operator' ? (word?.by ?? null) : null,
    pinned: isPinned(word),
    paused: word?.paused ?? false,
    unconstrained: state.unconstrained,
    withPacing: state.withPacing,
    changedAt: new Date(nowMs).toISOString(),
  };
}

function priceEvent(said: Said, state: PacedBudget, move: PriceMove, nowMs: number): PolicyShadowPriceChangedV1 {
  const { from, to, why, reason, numbers } = move;
  return {
    ...said,
    sequence: state.sequence,
    from,
    to,
    direction: to > from ? 'tightened' : 'relaxed',
    why,
    reason: reason.slice(0, 1_000),
    by: why === 'operator' ? (state.word?.by ?? null) : null,
    spentUsdPerRequest: numbers?.spentUsdPerRequest ?? null,
    affordableUsdPerRequest: numbers?.affordableUsdPerRequest ?? null,
    level: numbers?.level ?? null,
    remainingUsd: numbers?.remainingUsd ?? null,
    changedAt: new Date(nowMs).toISOString(),
  };
}

function wordText({ stage, shadowPrice, paused, reason, by }: Word): string {
  const what = [
    ...(stage !== null ? [`pinned to ${stage}`] : []),
    ...(shadowPrice !== null ? [`pinned to a shadow price of ${shadowPrice}`] : []),
    ...(paused ? ['paused'] : []),
  ];
  return `${what.length > 0 ? what.join(' and ') : 'let go again'} by ${by}${reason ? `: ${reason}` : ''}`;
}

function usd(nanos: string): number {
  return Number(nanos) / 1e9;
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
