import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { dropWaiting, joinMissed, pruneDecisions, waitingOutcomes } from '@meritorder/ledger-store';
import { RepeatingWork } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { recordedOutcome } from '../application/outcome-of.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const JOIN_EVERY_MS = 5_000;
const TIDY_EVERY_MS = 60_000;
const BATCH = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** As long as events are kept: a decision that did not come in this time will not. */
const LONGEST_WAIT_MS = 7 * DAY_MS;
const MOST_WAITING_PER_ORG = 100_000;

/** Which orgs may have more outcomes waiting; as of the last look, so the limit is passed by what comes between two. */
@Injectable()
export class WaitingOutcomes {
  private counts: ReadonlyMap<string, number> = new Map();

  hasRoom(org: string): boolean {
    return (this.counts.get(org) ?? 0) < MOST_WAITING_PER_ORG;
  }

  seen(counts: ReadonlyMap<string, number>): void {
    this.counts = counts;
  }

  get all(): ReadonlyMap<string, number> {
    return this.counts;
  }
}

/** What metering does by itself for outcomes and decisions: late joins, and forgetting what is old. */
@Injectable()
export class OutcomesWork implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(OutcomesWork.name);
  private readonly work = new RepeatingWork((message) => this.log.warn(message));
  private readonly dropped = meter().createCounter('meritorder_outcomes_dropped', {
    description: 'Outcomes that waited a week for a decision that never came, by org',
  });
  private readonly pruned = meter().createCounter('meritorder_decisions_pruned', {
    description: 'Decisions and outcomes that were forgotten after limits.decisionRetentionDays, by what they are',
  });

  constructor(
    @Inject(METERING) private readonly metering: MeteringRuntime,
    @Inject(WaitingOutcomes) private readonly waiting: WaitingOutcomes,
  ) {}

  onApplicationBootstrap(): void {
    this.work.start('outcomes that wait', JOIN_EVERY_MS, () => this.join());
    this.work.start('old decisions', TIDY_EVERY_MS, () => this.tidy());
    meter()
      .createObservableGauge('meritorder_outcomes_waiting', {
        description: 'Outcomes that wait for the decision of their request, by org',
      })
      .addCallback((result) => {
        for (const [org, count] of this.waiting.all) result.observe(count, { org });
      });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.work.stop();
  }

  private async join(): Promise<boolean> {
    const { database } = this.metering;
    this.waiting.seen(await waitingOutcomes(database));
    return (await joinMissed(database, HOUR_MS, BATCH, recordedOutcome)) >= BATCH;
  }

  private async tidy(): Promise<boolean> {
    const { database, config } = this.metering;
    const dropped = await dropWaiting(database, LONGEST_WAIT_MS, BATCH, recordedOutcome);
    for (const [org, count] of dropped) {
      this.dropped.add(count, { org });
      this.log.warn(`${count} outcomes of ${org} were dropped: no decision of their requests came in a week`);
    }
    const before = new Date(Date.now() - config.limits.decisionRetentionDays * DAY_MS);
    const { decisions, outcomes } = await pruneDecisions(database, before, BATCH);
    if (decisions > 0) this.pruned.add(decisions, { what: 'decision' });
    if (outcomes > 0) this.pruned.add(outcomes, { what: 'outcome' });
    return decisions === BATCH || outcomes === BATCH || dropped.size > 0;
  }
}
