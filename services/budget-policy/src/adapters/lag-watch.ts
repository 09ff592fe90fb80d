import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DURABLES, STREAMS } from '@meritorder/contracts';
import { outboxWaiting } from '@meritorder/ledger-store';
import { Repeating } from '@meritorder/service-kit';
import { meter } from '@meritorder/telemetry';
import { BUDGET_POLICY, type BudgetPolicyRuntime } from '../budget-policy.runtime.js';

const EVERY_MS = 5_000;

/** How far decisions and events are behind. Caps do not depend on it: they are enforced by the counters (pitfall 34). */
@Injectable()
export class LagWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(LagWatch.name);
  private readonly lag = { unbooked: 0, undecided: 0, unpublished: 0, oldestMs: 0 };
  private readonly round = new Repeating(EVERY_MS, () => this.measure());

  constructor(@Inject(BUDGET_POLICY) private readonly policy: BudgetPolicyRuntime) {}

  onApplicationBootstrap(): void {
    const gauge = (name: string, description: string, of: () => number): void => {
      meter()
        .createObservableGauge(name, { description })
        .addCallback((result) => result.observe(of()));
    };
    gauge('meritorder_usage_unbooked', 'Facts of attempts that metering has not booked yet', () => this.lag.unbooked);
    gauge(
      'meritorder_rated_usage_undecided',
      'Rated charges whose thresholds and stages are not decided yet',
      () => this.lag.undecided,
    );
    gauge(
      'meritorder_budget_events_unpublished',
      'Events of budgets that wait in the outbox',
      () => this.lag.unpublished,
    );
    gauge('meritorder_budget_events_oldest_ms', 'Age of the oldest of them', () => this.lag.oldestMs);
    this.round.start((error) => {
      if (error) this.log.warn(error.message);
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.round.stop();
  }

  private async measure(): Promise<void> {
    const { bus, database } = this.policy;
    const { consumers } = await bus.manager();
    // Measured here, so that it is seen to rise also while metering is not there to say so.
    const booking = await consumers.info(STREAMS.usage.name, DURABLES.metering);
    this.lag.unbooked = booking.num_pending + booking.num_ack_pending;
    const deciding = await consumers.info(STREAMS.events.name, DURABLES.budgetPolicy);
    this.lag.undecided = deciding.num_pending + deciding.num_ack_pending;
    const waiting = await outboxWaiting(database, 'budget-policy');
    this.lag.unpublished = waiting.count;
    this.lag.oldestMs = waiting.oldestMs;
  }
}
