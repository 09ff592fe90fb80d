import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { nanosToUsd, newId, type Nanos } from '@meritorder/kernel';
import {
  acquireLease,
  actingStates,
  correctWindowTotals,
  liveWindowTotals,
  overdueAttempts,
  recordCounterDrift,
  releaseLease,
  storedBudgets,
  untoldCount,
  windowsChangedWithin,
  windowsInFlight,
  windowTotals,
  type Drift,
  type WindowTotal,
} from '@meritorder/ledger-store';
import { Repeating } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import {
  correction,
  lastingDrift,
  lastingHolds,
  nameOf,
  observe,
  type Observation,
} from '../application/compare-counters.js';
import { windowNamed } from '../application/window-named.js';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';
import { isUsageBooked } from './usage-floor.js';

const LEASE_MS = 120_000;
const DAY_MS = 24 * 3_600_000;
const ALL_WINDOWS_EVERY_MS = 3_600_000;
const CLOCK_SKEW_MS = 60_000;
/** Metering ends an attempt that nobody closed; when it has not by then, nobody does. */
const STUCK_AFTER_MS = 30_000;
const STUCK_NAMED = 1_000;
const MOST_LOOKED_AT = 100;

/** Compares counters, window totals and ledger on a schedule, corrects by the difference, and says what it found. */
@Injectable()
export class DriftKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(DriftKeeper.name);
  private readonly holder = newId();
  private readonly round: Repeating;
  private seen: { windows: ReadonlyMap<string, Observation>; booked: boolean; epoch: number } | undefined;
  private allWindowsAtMs = 0;
  private totalsAtMs = 0;
  private readonly drift = { window: 0, counter: 0 };
  private readonly stuck = { attempts: 0, leases: 0, counters: 0 };
  private above = { lowered: 0, corrected: 0, overrun: 0 };

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {
    this.round = new Repeating(policy.reconcileEveryMs, () => this.look());
    meter()
      .createObservableGauge('meritorder_budget_drift_nanos', {
        description:
          'Differences that the last look found, before it corrected them: window totals against the ledger, counters against window totals',
      })
      .addCallback((result) => {
        for (const [kind, nanos] of Object.entries(this.drift)) result.observe(nanos, { kind });
      });
    meter()
      .createObservableGauge('meritorder_stuck_holds', {
        description: 'Holds that should have ended and have not',
      })
      .addCallback((result) => {
        for (const [kind, count] of Object.entries(this.stuck)) result.observe(count, { kind });
      });
  }

  private observeAbove(): void {
    meter()
      .createObservableGauge('meritorder_budget_above_limit_nanos', {
        description: 'Spent above limits in force, by cause; an overrun must be zero',
      })
      .addCallback((result) => {
        for (const [cause, nanos] of Object.entries(this.above)) result.observe(nanos, { cause });
      });
  }

  onApplicationBootstrap(): void {
    this.observeAbove();
    this.round.start((error) => {
      this.policy.went('comparing counters and books', error);
      if (error) this.log.warn(error.message);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.round.stop();
    await releaseLease(this.policy.database, 'drift', this.holder).catch(() => {});
  }

  async look(): Promise<void> {
    if (!(await acquireLease(this.policy.database, 'drift', this.holder, LEASE_MS))) return;
    await this.compareWithLedger(Date.now());
    await this.compareCounters();
    await this.lookForStuck();
    await this.lookAboveLimits();
  }

  /** Recent windows every time, all of them now and then: what a comparison costs grows with the attempts it reads. */
  private async compareWithLedger(nowMs: number): Promise<void> {
    const { database, reconcileEveryMs } = this.policy;
    const all = nowMs - this.allWindowsAtMs >= ALL_WINDOWS_EVERY_MS;
    const totals = nowMs - this.totalsAtMs >= DAY_MS;
    const candidates = all
      ? await liveWindowTotals(database)
      : await windowsChangedWithin(database, 3 * reconcileEveryMs + DAY_MS);
    const begun = await this.withStart(candidates);
    const limited = begun.filter((w) => w.startMs !== null && (all || w.startMs >= nowMs - 2 * DAY_MS));
    const found: Drift[] = [];
    if (limited.length > 0) {
      const since = Math.min(...limited.map((w) => w.startMs!));
      found.push(...(await correctWindowTotals(database, limited, since - CLOCK_SKEW_MS)));
    }
    if (totals)
      found.push(
        ...(await correctWindowTotals(
          database,
          begun.filter((w) => w.startMs === null),
          null,
        )),
      );
    if (all) this.allWindowsAtMs = nowMs;
    if (totals) this.totalsAtMs = nowMs;
    this.drift.window = size(found);
    for (const drift of found)
      this.alarm(`the total of ${nameOf(drift)} was not what the ledger says`, drift, 'corrected');
  }

  private async compareCounters(): Promise<void> {
    const { counters, database } = this.policy;
    const epoch = counters.openEpochId();
    if (epoch === undefined) {
      this.seen = undefined;
      return;
    }
    const booked = (await untoldCount(database)) === 0 && (await isUsageBooked(this.policy.bus));
    // Counters first: what they have was booked before, so what they have too much is no delay.
    const counted = await counters.inspectWindows();
    const windows = observe(counted, await windowTotals(database, counted));
    const before = this.seen?.epoch === epoch ? this.seen : undefined;
    this.seen = { windows, booked, epoch };
    const lasting = before ? lastingDrift(before.windows, windows) : [];
    this.drift.counter = size(lasting.map(driftOf));
    this.stuck.counters = 0;
    // While something booked may still be told to the counters, a correction could count it twice.
    if (!before?.booked || !booked) return;
    for (const observation of lasting) await this.adjust(observation);
    await this.missingAndLeaked(before.windows, windows);
  }

  private async adjust(observation: Observation): Promise<void> {
    const { counters, database } = this.policy;
    const drift = driftOf(observation);
    const reply = await counters.adjust(observation, {
      seenSettledNanos: observation.counted.settledNanos,
      seenUnconfirmedNanos: observation.counted.unconfirmedNanos,
      settledChangeNanos: drift.settledNanos,
      unconfirmedChangeNanos: drift.unconfirmedNanos,
    });
    if (reply.type === 'moved' || reply.type === 'epoch') return;
    if (reply.type === 'adjusted') {
      await recordCounterDrift(database, [drift], 'adjusted');
      this.alarm(`the counters of ${nameOf(drift)} were not what was booked`, drift, 'corrected');
    } else await this.rebuild([drift], `the counters of ${nameOf(drift)} cannot be corrected`);
  }

  /** What counters have lost, or hold for nobody: only a rebuild from the books is right then. */
  private async missingAndLeaked(
    before: ReadonlyMap<string, Observation>,
    now: ReadonlyMap<string, Observation>,
  ): Promise<void> {
    const { counters, database } = this.policy;
    const lost = (await windowsChangedWithin(database, DAY_MS)).filter(
      (total) =>
        !now.has(nameOf(total)) && !before.has(nameOf(total)) && total.settledNanos + total.unconfirmedNanos > 0n,
    );
    // Somebody may have made it since it was read.
    const stillLost = lost.length > 0 ? await this.stillMissing(lost) : [];
    if (stillLost.length > 0) return this.rebuild(stillLost, 'the counters have lost windows');
    if ((await counters.overdueLeases(-DAY_MS)) > 0) return;
    const inFlight = new Set((await windowsInFlight(database)).map(nameOf));
    const leaked = lastingHolds(before, now, inFlight);
    this.stuck.counters = leaked.length;
    if (leaked.length > 0) await this.rebuild(leaked.map(driftOf), 'windows hold money for nobody');
  }

  private async stillMissing(lost: readonly WindowTotal[]): Promise<Drift[]> {
    const there = new Set((await this.policy.counters.inspectWindows(lost)).map(nameOf));
    return this.policy.counters.openEpochId() === undefined ? [] : lost.filter((total) => !there.has(nameOf(total)));
  }

  private async rebuild(drifts: readonly Drift[], why: string): Promise<void> {
    await recordCounterDrift(this.policy.database, drifts, 'rebuilt');
    for (const drift of drifts) this.alarm(`${why}: ${nameOf(drift)}`, drift, 'rebuilt from the books');
    await this.policy.counters.closeEpoch();
  }

  private async lookForStuck(): Promise<void> {
    const { config, counters, database } = this.policy;
    const overdue = await overdueAttempts(database, config.limits.unconfirmedGraceMs + STUCK_AFTER_MS, STUCK_NAMED);
    this.stuck.attempts = overdue.length;
    this.stuck.leases = await counters.overdueLeases(STUCK_AFTER_MS);
    if (overdue.length > 0)
      this.log.error(
        `${overdue.length} opened attempts are past their deadline and nobody ended them: ${overdue
          .slice(0, 5)
          .map((o) => o.terms.attemptId)
          .join(', ')}; is metering running?`,
      );
    if (this.stuck.leases > 0) this.log.error(`${this.stuck.leases} holds are past their lease and nobody ended them`);
  }

  /** Limits lowered below what was spent and late prices are counted apart from what must never be: an overrun. */
  private async lookAboveLimits(): Promise<void> {
    const { book, database } = this.policy;
    const above = { lowered: 0, corrected: 0, overrun: 0 };
    const exhausted = (await actingStates(database)).filter((state) => state.exhausted);
    for (const { budget } of exhausted.slice(0, MOST_LOOKED_AT)) {
      const [window] = await book.windowsOf(budget);
      if (!window) continue;
      above.lowered += Number(window.above.loweredNanos);
      above.corrected += Number(window.above.correctedNanos);
      above.overrun += Number(window.above.overrunNanos);
      if (window.above.overrunNanos !== '0')
        this.log.error(
          `${budget} ${window.window} is overrun by $${nanosToUsd(BigInt(window.above.overrunNanos))}: more was charged than any limit in force allowed`,
        );
    }
    this.above = above;
  }

  private async withStart(
    totals: readonly WindowTotal[],
  ): Promise<{ budget: string; window: string; startMs: number | null }[]> {
    const stored = await storedBudgets(this.policy.database, [...new Set(totals.map((t) => t.template ?? t.budget))]);
    return totals.flatMap((total) => {
      const definition = stored.get(total.template ?? total.budget)?.definition;
      const window = definition && windowNamed(definition.window, definition.timeZone, total.window);
      return window ? [{ budget: total.budget, window: total.window, startMs: window.startMs }] : [];
    });
  }

  private alarm(
    what: string,
    { settledNanos, unconfirmedNanos }: Omit<Drift, 'budget' | 'window'>,
    remedy: string,
  ): void {
    this.log.error(
      `${what}: settled differs by $${nanosToUsd(settledNanos)}, unconfirmed by $${nanosToUsd(unconfirmedNanos)}; ${remedy}`,
    );
  }
}

function driftOf(observation: Observation): Drift {
  return { budget: observation.budget, window: observation.window, ...correction(observation) };
}

function size(drifts: readonly Drift[]): number {
  const magnitude = (nanos: Nanos): Nanos => (nanos < 0n ? -nanos : nanos);
  return Number(drifts.reduce((sum, d) => sum + magnitude(d.settledNanos) + magnitude(d.unconfirmedNanos), 0n));
}
