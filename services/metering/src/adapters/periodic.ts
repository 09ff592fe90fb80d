import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { BUCKETS, type EventType } from '@meritorder/contracts';
import { contextOf, openBucket, putIfChanged, type EventBody } from '@meritorder/messaging';
import {
  noteScanned,
  openCorrections,
  overdueAttempts,
  publishedPrices,
  relayOutbox,
  tellUntold,
} from '@meritorder/ledger-store';
import { unconfirmedCharge } from '../application/charge-of.js';
import { correctPrices } from '../application/correct-prices.js';
import { settleHolds } from '../application/settle-holds.js';
import { METERING, type MeteringRuntime } from '../metering.runtime.js';

const RELAY_EVERY_MS = 50;
const SWEEP_EVERY_MS = 1_000;
const UNTOLD_EVERY_MS = 100;
const BATCH = 200;

/** What metering does by itself: publish what it booked, and charge attempts that nobody closed. */
@Injectable()
export class PeriodicWork implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(PeriodicWork.name);
  private readonly loops: Promise<void>[] = [];
  private readonly stop = new AbortController();

  constructor(@Inject(METERING) private readonly metering: MeteringRuntime) {}

  onApplicationBootstrap(): void {
    this.loops.push(this.loop('outbox', RELAY_EVERY_MS, () => this.relay()));
    this.loops.push(this.loop('overdue attempts', SWEEP_EVERY_MS, () => this.sweep()));
    this.loops.push(this.loop('untold settlements', UNTOLD_EVERY_MS, () => this.tellUntold()));
    this.loops.push(this.loop('prices', 5_000, () => this.publishPrices()));
    this.loops.push(this.loop('price corrections', 5_000, () => this.correct()));
    this.metering.pricesChanged = () => {
      void this.publishPrices().catch((error: Error) => this.log.warn(`prices: ${error.message}`));
    };
  }

  async onApplicationShutdown(): Promise<void> {
    this.stop.abort();
    await Promise.all(this.loops);
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
    return (await tellUntold(database, BATCH, (settlements) => settleHolds(counters, settlements))) === BATCH;
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

  /** Runs `work` for ever, at once again when it says that more is waiting. */
  private async loop(name: string, everyMs: number, work: () => Promise<boolean>): Promise<void> {
    while (!this.stop.signal.aborted) {
      let more = false;
      try {
        more = await work();
      } catch (error) {
        this.log.warn(`${name}: ${(error as Error).message}`);
      }
      if (!more) await this.sleep(everyMs);
    }
  }

  /** Ends early when the service stops. */
  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => end(), ms);
      const end = (): void => {
        clearTimeout(timer);
        this.stop.signal.removeEventListener('abort', end);
        resolve();
      };
      this.stop.signal.addEventListener('abort', end);
    });
  }
}
