import { hourOfWeekIn, lessonOf, type HourOfWeek, type Lesson } from '@meritorder/forecast-core';
import { hourlyRate, hoursOf, type HourlyRate } from '@meritorder/pacing-core';
import type { StoredBudget, WindowTotal } from '@meritorder/ledger-store';
import { decidePacing, openWindow, type PacingEvent } from './decide-pacing.js';
import type { PacedBudget, Word } from './paced-budget.js';
import type { PacingBook } from './pacing-book.js';
import { projectWindow } from './project-window.js';
import type { TrafficFact } from './traffic-facts.js';

/** Other budgets of an org that a projection learns from: the busiest. */
const MOST_LESSONS = 20;
const LESSON_MS = 24 * 3_600_000;
const LESSONS_PER_ROUND = 2;
const LESSON_FROM_HOURS = 48;
const RATE_MS = 60_000;
/** A projection or a reading of a rate takes some milliseconds over 90 days: so many a round, the others in the next. */
const PROJECTIONS_PER_ROUND = 40;
const READINGS_PER_ROUND = 40;

export interface RoundFacts {
  definitions: ReadonlyMap<string, StoredBudget>;
  /** Of the windows that `count` named, by budget. */
  totals: ReadonlyMap<string, WindowTotal>;
  /** Upper bounds in flight by budget. */
  reserved: ReadonlyMap<string, bigint>;
  words: ReadonlyMap<string, Word>;
  nowMs: number;
}

/** One look at all budgets of a book: windows are opened, facts counted, then each budget is decided. No I/O. */
export class PacingRound {
  private readonly rates = new Map<string, { madeAtMs: number; rate: HourlyRate }>();
  private left = { projections: 0, readings: 0 };
  private readonly calendars = new Map<string, HourOfWeek>();

  constructor(private readonly book: PacingBook) {}

  /** Budgets that this round may be about. */
  concerned(facts: readonly TrafficFact[], spokenOf: readonly string[]): string[] {
    const ids = new Set([...this.book.budgets.keys(), ...spokenOf]);
    for (const fact of facts) for (const { budget } of fact.charges) ids.add(budget);
    return [...ids];
  }

  /** Counts facts in windows that are open. Returns the windows whose totals are to be read. */
  count(
    facts: readonly TrafficFact[],
    definitions: ReadonlyMap<string, StoredBudget>,
    nowMs: number,
  ): { budget: string; window: string }[] {
    for (const [id, stored] of definitions) {
      const state = this.book.budget(id, nowMs);
      const opened = openWindow(state, stored, nowMs);
      if (opened !== state) this.book.put(opened);
    }
    for (const fact of facts) this.book.apply(inForce(fact, definitions), nowMs);
    return [...definitions.keys()].map((budget) => ({ budget, window: this.book.budgets.get(budget)!.windowId! }));
  }

  decide({ definitions, totals, reserved, words, nowMs }: RoundFacts): PacingEvent[] {
    for (const budget of this.book.budgets.keys()) if (!definitions.has(budget)) this.book.forget(budget);
    const byOrg = this.lessonsByOrg(definitions, nowMs);
    this.left = { projections: PROJECTIONS_PER_ROUND, readings: READINGS_PER_ROUND };
    const events: PacingEvent[] = [];
    for (const [budget, stored] of definitions) {
      const counted = this.named(this.book.budgets.get(budget)!, totals.get(budget));
      if (stored.definition.per && !counted.values) continue;
      const ofOrg = byOrg.get(stored.definition.selector.org ?? '') ?? [];
      const lessons = ofOrg.flatMap((of) => (of.budget === budget ? [] : [of.lesson]));
      let rate: HourlyRate | undefined;
      const decided = decidePacing(
        counted,
        {
          stored,
          spent: totals.get(budget),
          reservedNanos: reserved.get(budget) ?? 0n,
          word: words.get(budget) ?? null,
          requestRate: (hour) => (rate ??= this.requestRate(counted, stored, lessons, nowMs))(hour),
          project: (limitUsd, spentUsd, urgent) =>
            urgent || (this.left.projections -= 1) >= 0
              ? this.project(counted, stored, lessons, { limitUsd, spentUsd, nowMs })
              : undefined,
          log: () => this.book.logOf(budget),
        },
        nowMs,
      );
      if (JSON.stringify(decided.state) !== JSON.stringify(this.book.budgets.get(budget))) this.book.put(decided.state);
      events.push(...decided.events);
    }
    return events;
  }

  /** Whether routers are to be told of it. */
  isDecided(state: PacedBudget): boolean {
    return state.windowId !== null && state.projectedAtMs !== null;
  }

  private named(state: PacedBudget, total: WindowTotal | undefined): PacedBudget {
    return state.values || !total?.values ? state : { ...state, template: total.template, values: total.values };
  }

  private project(
    state: PacedBudget,
    stored: StoredBudget,
    lessons: readonly Lesson[],
    { limitUsd, spentUsd, nowMs }: { limitUsd: number; spentUsd: number; nowMs: number },
  ) {
    const { spending } = this.book.trafficOf(state.budget, nowMs);
    return projectWindow({
      spending: {
        series: spending,
        sinceHours: hoursOf(state.sinceMs),
        count: Math.max(state.decisions, state.charges),
      },
      window: { startMs: Date.parse(state.windowStart!), endMs: Date.parse(state.windowEnd!) },
      nowMs,
      spentUsd,
      limitUsd,
      lessons,
      hourOfWeek: this.calendar(stored),
      paced: (stored.definition.pacing ?? 'projected') !== 'off',
    });
  }

  private requestRate(state: PacedBudget, stored: StoredBudget, lessons: readonly Lesson[], nowMs: number): HourlyRate {
    const known = this.rates.get(state.budget);
    const isFresh = known && nowMs - known.madeAtMs < RATE_MS && nowMs >= known.madeAtMs;
    if (isFresh || (known && (this.left.readings -= 1) < 0)) return known.rate;
    const { requests } = this.book.trafficOf(state.budget, nowMs);
    const traffic = { series: requests, sinceHours: hoursOf(state.sinceMs) };
    const rate = hourlyRate(traffic, hoursOf(nowMs), this.calendar(stored), lessons);
    if (this.rates.size > 2 * this.book.budgets.size) this.rates.clear();
    this.rates.set(state.budget, { madeAtMs: nowMs, rate });
    return rate;
  }

  /** Once a day for each series, a few in each round, so that no round is long. */
  private lessonsByOrg(definitions: ReadonlyMap<string, StoredBudget>, nowMs: number) {
    const byOrg = new Map<string, { budget: string; lesson: Lesson }[]>();
    const busiest = [...definitions].toSorted(
      ([a], [b]) => this.book.budgets.get(b)!.busy - this.book.budgets.get(a)!.busy,
    );
    let made = 0;
    for (const [budget, stored] of busiest) {
      const org = stored.definition.selector.org ?? '';
      const ofOrg = byOrg.get(org) ?? [];
      const traffic = this.book.traffic.get(budget);
      if (!traffic || ofOrg.length > MOST_LESSONS) continue;
      const isOld = !traffic.lesson || nowMs - traffic.lesson.madeAtMs >= LESSON_MS;
      if (isOld && made < LESSONS_PER_ROUND && traffic.spending.amounts.length >= LESSON_FROM_HOURS) {
        made += 1;
        const { spending } = this.book.trafficOf(budget, nowMs);
        const lesson = { madeAtMs: nowMs, lesson: lessonOf(spending, this.calendar(stored)) };
        this.book.traffic.set(budget, { ...this.book.traffic.get(budget)!, lesson });
        ofOrg.push({ budget, lesson: lesson.lesson });
      } else if (traffic.lesson) ofOrg.push({ budget, lesson: traffic.lesson.lesson });
      byOrg.set(org, ofOrg);
    }
    return byOrg;
  }

  private calendar({ definition: { timeZone } }: StoredBudget): HourOfWeek {
    const known = this.calendars.get(timeZone) ?? hourOfWeekIn(timeZone);
    this.calendars.set(timeZone, known);
    return known;
  }
}

/** A budget that is in force no more is counted no more. */
function inForce<Fact extends TrafficFact>(fact: Fact, definitions: ReadonlyMap<string, StoredBudget>): Fact {
  const charges = (fact.charges as { budget: string }[]).filter(({ budget }) => definitions.has(budget));
  return charges.length === fact.charges.length ? fact : ({ ...fact, charges } as unknown as Fact);
}
