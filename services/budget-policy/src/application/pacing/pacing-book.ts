import { HOURS_KEPT, knownUntil, type Lesson, type SpendSeries } from '@meritorder/forecast-core';
import { countRequest, countSettlement, hoursOf } from '@meritorder/pacing-core';
import { newPacedBudget, type PacedBudget, type SeenAttempt } from './paced-budget.js';
import { MOST_LOGGED_IN_ALL, RequestLog } from './request-log.js';
import type {
  DecidedCharge,
  DecisionFact,
  LoggedDecision,
  RatedCharge,
  TrafficFact,
  UsageFact,
} from './traffic-facts.js';

/** Budgets and instances that are paced at once; the least busy give way. */
export const MOST_PACED = 1_000;
/** Attempts by which a fact is known again: all of the last hour, as far as there are not more. */
export const MOST_ATTEMPTS = 200_000;
export const ATTEMPT_KEPT_MS = 3_600_000;
/** Of the logged requests those that are written down, every minute and in one piece: what the next book starts with. */
const MOST_LOGGED_KEPT = MOST_LOGGED_IN_ALL / 5;
const BUSY_MEMORY_MS = 3_600_000;
const CHEAPEST_MEMORY = 0.02;

/** Traffic of one budget by the hour. */
export interface Traffic {
  spending: SpendSeries;
  requests: SpendSeries;
  lesson: { madeAtMs: number; lesson: Lesson } | null;
}

export interface HourOfBudget {
  budget: string;
  hour: number;
  spendUsd: number;
  requests: number;
}

export interface BookSnapshot {
  budgets: PacedBudget[];
  hours: Iterable<HourOfBudget>;
  /** Oldest first. */
  attempts: { id: string; state: SeenAttempt }[];
  /** Oldest first. */
  log: LoggedDecision[];
}

/** What changed since it was taken last. */
export interface BookChanges {
  budgets: PacedBudget[];
  forgottenBudgets: string[];
  hours: HourOfBudget[];
  attempts: { id: string; state: SeenAttempt; atMs: number }[];
  forgottenAttempts: string[];
}

/**
 * All that pacing knows, in memory and without I/O: `now` is an argument. Bounded: `MOST_PACED` budgets with 90 days of hours each
 * (two numbers an hour), `MOST_ATTEMPTS` attempts, `MOST_LOGGED_IN_ALL` requests.
 */
export class PacingBook {
  readonly budgets = new Map<string, PacedBudget>();
  readonly traffic = new Map<string, Traffic>();
  private readonly log = new RequestLog();
  private readonly attempts = new Map<string, SeenAttempt>();
  private readonly changed = { budgets: new Set<string>(), attempts: new Set<string>(), hours: new Set<string>() };
  private readonly gone = { budgets: new Set<string>(), attempts: new Set<string>() };

  constructor(of: BookSnapshot = { budgets: [], hours: [], attempts: [], log: [] }) {
    for (const state of of.budgets) this.budgets.set(state.budget, { ...state, inFlightUsd: 0 });
    for (const { budget, hour, spendUsd, requests } of of.hours) this.addTraffic(budget, hour, spendUsd, requests);
    for (const { id, state } of of.attempts) {
      this.attempts.set(id, state);
      if (!state.settled) this.fly(state, 1);
    }
    for (const decision of of.log)
      this.log.add(
        decision.budgets.flatMap(({ budget }) => (this.budgets.has(budget) ? [budget] : [])),
        decision,
      );
    this.changed.budgets.clear();
  }

  /** Takes a fact in once, however often it is told. Returns whether it was new. */
  apply(fact: TrafficFact, nowMs: number): boolean {
    return fact.type === 'decision' ? this.decided(fact, nowMs) : this.rated(fact, nowMs);
  }

  /** The budget's state, new where it had none. */
  budget(id: string, nowMs: number): PacedBudget {
    const known = this.budgets.get(id);
    if (known) return known;
    const made = newPacedBudget(id, nowMs);
    this.put(made);
    this.gone.budgets.delete(id);
    return made;
  }

  put(state: PacedBudget): void {
    this.budgets.set(state.budget, state);
    this.changed.budgets.add(state.budget);
  }

  forget(budget: string): void {
    this.budgets.delete(budget);
    this.traffic.delete(budget);
    this.log.forget(budget);
    this.gone.budgets.add(budget);
  }

  /** Traffic up to the last complete hour and the current one. */
  trafficOf(budget: string, nowMs: number): Traffic {
    const hour = Math.floor(hoursOf(nowMs));
    const known = this.trafficKnown(budget, hour);
    const now = {
      ...known,
      spending: caughtUp(known.spending, hour),
      requests: caughtUp(known.requests, hour),
    };
    this.traffic.set(budget, now);
    return now;
  }

  /** The last requests that matched the budget, oldest first. */
  logOf(budget: string): LoggedDecision[] {
    return this.log.of(budget);
  }

  /** Of all budgets, as another book takes them up. */
  logToKeep(): LoggedDecision[] {
    return this.log.last(MOST_LOGGED_KEPT);
  }

  /** Gives way to the busiest, and forgets what is old. Returns the budgets that are paced no more. */
  prune(nowMs: number, keep: ReadonlySet<string>): string[] {
    for (const [id, attempt] of this.attempts) {
      if (this.attempts.size <= MOST_ATTEMPTS && attempt.atMs >= nowMs - ATTEMPT_KEPT_MS) break;
      this.attempts.delete(id);
      this.changed.attempts.delete(id);
      this.gone.attempts.add(id);
      // Whoever does not end within an hour is in the books as unconfirmed.
      if (!attempt.settled) this.fly(attempt, -1);
    }
    const least = this.leastBusy(this.budgets.size - MOST_PACED, nowMs, keep);
    for (const budget of least) this.forget(budget);
    this.log.prune();
    return least;
  }

  private leastBusy(count: number, nowMs: number, keep: ReadonlySet<string>): string[] {
    if (count <= 0) return [];
    return [...this.budgets.values()]
      .filter(({ budget }) => !keep.has(budget))
      .toSorted((a, b) => businessAt(a, nowMs) - businessAt(b, nowMs))
      .slice(0, count)
      .map(({ budget }) => budget);
  }

  /** What is to be written; asked once a tick. What could not be written is lost with this book: read another. */
  takeChanges(): BookChanges {
    const { budgets, attempts, hours } = this.changed;
    const changes: BookChanges = {
      budgets: [...budgets].flatMap((id) => this.budgets.get(id) ?? []),
      forgottenBudgets: [...this.gone.budgets],
      hours: [...hours].flatMap((key) => this.hourNamed(key) ?? []),
      attempts: [...attempts].flatMap((id) => {
        const state = this.attempts.get(id);
        return state ? [{ id, state, atMs: state.atMs }] : [];
      }),
      forgottenAttempts: [...this.gone.attempts],
    };
    for (const set of [budgets, attempts, hours, this.gone.budgets, this.gone.attempts]) set.clear();
    return changes;
  }

  private decided(fact: DecisionFact, nowMs: number): boolean {
    const known = this.attempts.get(fact.id);
    if (known?.decided) return false;
    for (const charge of fact.charges) this.countDecision(charge, fact.atMs, nowMs);
    if (fact.logged)
      this.log.add(
        fact.charges.map(({ budget }) => budget),
        fact.logged,
      );
    const charges = fact.charges.flatMap(({ budget, window, basis, expectedUsd }) =>
      expectedUsd > 0 ? [{ budget, window, basis, expectedUsd }] : [],
    );
    const attempt: SeenAttempt = { atMs: known?.atMs ?? nowMs, decided: true, settled: charges.length === 0, charges };
    if (!attempt.settled) this.fly(attempt, 1);
    if (known?.actual) this.settle(attempt, known.actual);
    this.note(fact.id, attempt);
    return true;
  }

  private rated(fact: UsageFact, nowMs: number): boolean {
    const id = fact.revision === 1 ? fact.id : `${fact.id}/r${fact.revision}`;
    const known = this.attempts.get(id);
    if (known?.actual) return false;
    const actual = { cashUsd: fact.cashUsd, fullUsd: fact.fullUsd };
    for (const charge of fact.charges) this.countCharge(charge, fact, nowMs);
    if (fact.revision > 1) {
      for (const { budget, window, basis } of fact.charges)
        this.settleOne({ budget, window, basis, expectedUsd: 0 }, actual);
      this.note(id, { atMs: nowMs, decided: true, settled: true, charges: [], actual });
    } else if (!known) this.note(id, { atMs: nowMs, decided: false, settled: true, charges: [], actual });
    else {
      const settled = { ...known, actual };
      this.settle(settled, actual);
      this.note(id, settled);
    }
    return true;
  }

  private countDecision(charge: DecidedCharge, atMs: number, nowMs: number): void {
    const state = this.budget(charge.budget, nowMs);
    const ofWindow = state.price !== null && state.windowId === charge.window;
    this.put({
      ...state,
      price: ofWindow ? countRequest(state.price!, charge.expectedUsd) : state.price,
      decisions: state.decisions + 1,
      busy: businessAt(state, nowMs) + 1,
      busyAtMs: nowMs,
      cheapestUsd:
        state.decisions === 0
          ? charge.cheapestUsd
          : state.cheapestUsd + CHEAPEST_MEMORY * (charge.cheapestUsd - state.cheapestUsd),
    });
    this.addHour(charge.budget, Math.floor(hoursOf(Math.min(atMs, nowMs))), charge.heldBackUsd, 1);
  }

  private countCharge({ budget, basis, template, values }: RatedCharge, fact: UsageFact, nowMs: number): void {
    const state = this.budget(budget, nowMs);
    this.put({
      ...state,
      template: template ?? state.template,
      values: values ?? state.values,
      charges: state.charges + (fact.revision === 1 ? 1 : 0),
      // Decisions that do not say their budgets are heard of by their charges alone.
      ...(state.decisions === 0 ? { busy: businessAt(state, nowMs) + 1, busyAtMs: nowMs } : {}),
    });
    const changeUsd = basis === 'cash' ? fact.cashUsd : fact.fullUsd;
    this.addHour(budget, Math.floor(hoursOf(Math.min(fact.atMs, nowMs))), changeUsd, 0);
  }

  /** Ends what was in flight: what it cost beyond what was expected is a correction. */
  private settle(attempt: SeenAttempt, actual: { cashUsd: number; fullUsd: number }): void {
    if (!attempt.settled) this.fly(attempt, -1);
    attempt.settled = true;
    for (const charge of attempt.charges) this.settleOne(charge, actual);
    attempt.charges = [];
    attempt.actual = actual;
  }

  private settleOne(charge: SeenAttempt['charges'][number], actual: { cashUsd: number; fullUsd: number }): void {
    const state = this.budgets.get(charge.budget);
    if (!state?.price || state.windowId !== charge.window) return;
    const actualUsd = charge.basis === 'cash' ? actual.cashUsd : actual.fullUsd;
    this.put({ ...state, price: countSettlement(state.price, { expectedUsd: charge.expectedUsd, actualUsd }) });
  }

  private fly(attempt: SeenAttempt, sign: 1 | -1): void {
    for (const { budget, window, expectedUsd } of attempt.charges) {
      const state = this.budgets.get(budget);
      if (state?.windowId === window)
        this.put({ ...state, inFlightUsd: Math.max(0, state.inFlightUsd + sign * expectedUsd) });
    }
  }

  private note(id: string, attempt: SeenAttempt): void {
    this.attempts.set(id, attempt);
    this.changed.attempts.add(id);
  }

  private trafficKnown(budget: string, hour: number): Traffic {
    const empty = (): SpendSeries => ({ firstHour: hour, amounts: [] });
    return this.traffic.get(budget) ?? { spending: empty(), requests: empty(), lesson: null };
  }

  private addHour(budget: string, hour: number, spendUsd: number, requests: number): void {
    this.addTraffic(budget, hour, spendUsd, requests);
    this.changed.hours.add(`${budget} ${hour}`);
  }

  /** What is taken back later is taken from its hour, never below nothing. */
  private addTraffic(budget: string, hour: number, spendUsd: number, requests: number): void {
    const known = this.trafficKnown(budget, hour);
    this.traffic.set(budget, {
      ...known,
      spending: addAt(known.spending, hour, spendUsd),
      requests: addAt(known.requests, hour, requests),
    });
  }

  private hourNamed(key: string): HourOfBudget | undefined {
    const [budget, text] = key.split(' ') as [string, string];
    const known = this.traffic.get(budget);
    if (!known) return undefined;
    const hour = Number(text);
    const at = ({ firstHour, amounts }: SpendSeries): number => amounts[hour - firstHour] ?? 0;
    return { budget, hour, spendUsd: at(known.spending), requests: at(known.requests) };
  }
}

/** Hours of which nothing is kept any more begin before this one. */
export function firstHourKept(nowMs: number): number {
  return Math.floor(hoursOf(nowMs)) - HOURS_KEPT;
}

/** In place: these series belong to the book alone, and a copy for each fact, or each hour that is read, would be most of its work. */
function addAt(series: SpendSeries, hour: number, amount: number): SpendSeries {
  const index = hour - series.firstHour;
  if (index < 0) return series;
  // A gap of years is not filled hour by hour.
  if (index - series.amounts.length > HOURS_KEPT) return { firstHour: hour, amounts: [Math.max(0, amount)] };
  const amounts = series.amounts as number[];
  while (amounts.length <= index) amounts.push(0);
  amounts[index] = Math.max(0, amounts[index]! + amount);
  return series;
}

/** Silence is a fact too; a day more than is kept is dropped at once, so that not every hour is a copy. */
function caughtUp(series: SpendSeries, hour: number): SpendSeries {
  if (hour - series.firstHour > HOURS_KEPT + 24) return knownUntil(series, hour);
  return hour > series.firstHour + series.amounts.length ? addAt(series, hour - 1, 0) : series;
}

function businessAt({ busy, busyAtMs }: PacedBudget, nowMs: number): number {
  return busy * Math.exp(-Math.max(0, nowMs - busyAtMs) / BUSY_MEMORY_MS);
}
