import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { BUCKETS, type EventType } from '@meritorder/contracts';
import { contextOf, openBucket, putIfChanged, type EventBody } from '@meritorder/messaging';
import {
  noteScanned,
  onOutboxCommit,
  openCorrections,
  overdueAttempts,
  publishedPrices,
  relayOutbox,
  tellUntold,
} from '@meritorder/ledger-store';
import { RepeatingWork } from '@meritorder/service-kit';
import { unconfirmedCharge } from '../application/charge-of.js';
import { correctPrices } from '../application/correct-prices.js';
import { settleHolds } from '../application/settle-holds.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

/** What others put there: this process hears of its own at once. */
const RELAY_EVERY_MS = 500;
const RELAY_REST_MS = 25;
const SWEEP_EVERY_MS = 1_000;
const UNTOLD_EVERY_MS = 100;
/** Of what another instance could not tell before it ended. */
const UNTOLD_OF_OTHERS_EVERY_MS = 5_000;
const BATCH = 200;

/** What metering does by itself: publish what it booked, and charge attempts that nobody closed. */
@Injectable()
export class PeriodicWork implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(PeriodicWork.name);
  private readonly work = new RepeatingWork((message) => this.log.warn(message));
  private lookedForUntoldAtMs = -Infinity;

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    const relaying = this.work.start('outbox', RELAY_EVERY_MS, () => this.relay(), RELAY_REST_MS);
    onOutboxCommit(this.metering.database, 'metering', () => relaying.wake());
    this.work.start('overdue attempts', SWEEP_EVERY_MS, () => this.sweep());
    this.work.start('untold settlements', UNTOLD_EVERY_MS, () => this.tellUntold());
    this.work.start('prices', 5_000, () => this.publishPrices());
    this.work.start('price corrections', 5_000, () => this.correct());
    this.metering.pricesChanged = () => {
      void this.publishPrices().catch((error: Error) => this.log.warn(`prices: ${error.message}`));
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.work.stop();
  }

  private async relay(): Promise<boolean> {
    const { bus, database } = this.metering;
    const published = await relayOutbox(database, 'metering', BATCH, async (row) => {
      await bus.publishEvent({
        type: row.type,
        subject: row.subject,
        id: row.messageId,
        time: row.occurredAt,
        data: row.body as EventBody<EventType>,
        context: contextOf(row.traceparent),
      });
    });
    return published === BATCH;
  }

  /** An opened attempt that nobody closed in time becomes an unconfirmed charge at its bound. */
  private async sweep(): Promise<boolean> {
    const { database, books, config } = this.metering;
    const overdue = await overdueAttempts(database, config.limits.unconfirmedGraceMs, BATCH);
    const settlements = await books.book(
      overdue.map(({ terms, worker }) => ({
        terms,
        worker,
        charge: unconfirmedCharge(terms),
        cause: 'timed-out' as const,
        outcome: 'failed',
        occurredAt: new Date().toISOString(),
      })),
    );
    for (const s of settlements)
      if (s.changed) this.log.warn(`attempt ${s.attemptId} was never closed: booked as unconfirmed at its bound`);
    await this.metering.settle(settlements);
    return overdue.length === BATCH;
  }

  private async tellUntold(): Promise<boolean> {
    const { counters, database } = this.metering;
    if (counters.openEpochId() === undefined) return false;
    const nowMs = performance.now();
    if (!this.metering.hasUntold && nowMs - this.lookedForUntoldAtMs < UNTOLD_OF_OTHERS_EVERY_MS) return false;
    this.lookedForUntoldAtMs = nowMs;
    // What is kept meanwhile is looked for in the next round.
    this.metering.hasUntold = false;
    let isNone = false;
    try {
      let found = 0;
      const told = await tellUntold(database, BATCH, (settlements) => {
        found = settlements.length;
        return settleHolds(counters, settlements);
      });
      isNone = found === 0;
      return told === BATCH;
    } finally {
      if (!isNone) this.metering.hasUntold = true;
    }
  }

  /** The bucket says what the books say, also after somebody emptied it. */
  private async publishPrices(): Promise<boolean> {
    const { bus, database, config } = this.metering;
    const bucket = await openBucket(bus, BUCKETS.prices.name);
    const versions = await publishedPrices(database);
    for (const backend of config.backends)
      await putIfChanged(bucket, backend.id, JSON.stringify(versions.get(backend.id) ?? []));
    return false;
  }

  /**
   * Attempts that were rated before a price for their time was known. Budgets are brought in line by a new epoch, which is built
   * from the books: corrections are rare, and a difference told to the counters beside a rebuild could be counted twice.
   */
  private async correct(): Promise<boolean> {
    const { books, counters, database } = this.metering;
    let adjusted = 0;
    for (const correction of await openCorrections(database)) {
      const count = await correctPrices(books, correction, new Date().toISOString());
      if (count > 0)
        this.log.log(`${count} attempts of ${correction.backend} were adjusted to price ${correction.priceVersion}`);
      adjusted += count;
      await noteScanned(database, correction.priceVersion);
    }
    if (adjusted > 0) await counters.closeEpoch();
    return false;
  }
}
