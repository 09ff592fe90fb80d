import type { MeritorderConfig, PriceVersion } from '@meritorder/contracts';
import type { Counters } from '@meritorder/counters';
import {
  attemptsRatedOtherwise,
  book,
  isRefusedData,
  keepUntold,
  noteCorrection,
  priceVersions,
  publishedPrices,
  recordedBackends,
  recordExtended,
  recordOpened,
  type Settlement,
} from '@meritorder/ledger-store';
import type { Bus } from '@meritorder/messaging';
import type { DataSource } from 'typeorm';
import type { PostgresPriceBook } from './adapters/price-book.js';
import { CannotBeBooked, type Books } from './application/book-usage.js';
import type { CorrectionBooks } from './application/correct-prices.js';
import { settleHolds } from './application/settle-holds.js';

export const METERING = Symbol('METERING');

export class MeteringRuntime {
  readonly books: Books & CorrectionBooks;
  /** Called when the price book changed, so that nobody waits for the next round. */
  pricesChanged: () => void = () => {};
  /** There may be settlements that the counters were not told of. */
  hasUntold = true;

  constructor(
    readonly config: MeritorderConfig,
    readonly bus: Bus,
    readonly database: DataSource,
    readonly counters: Counters,
    readonly prices: PostgresPriceBook,
  ) {
    this.books = postgresBooks(database, config);
  }

  /** The backends of those attempts that are on record, by attempt. */
  recordedBackends(attemptIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return recordedBackends(this.database, attemptIds);
  }

  /** Tells the counters, or keeps what they cannot be told now. After this a message may be acknowledged. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    const untold = await settleHolds(this.counters, settlements);
    await keepUntold(this.database, untold);
    if (untold.length > 0) this.hasUntold = true;
  }
}

function postgresBooks(database: DataSource, config: MeritorderConfig): Books & CorrectionBooks {
  const known = new Map<string, PriceVersion>();
  return {
    recordOpened: (events) => recordOpened(database, events).catch(refused),
    recordExtended: (events) =>
      recordExtended(
        database,
        events.map((e) => ({ terms: e, worker: e.worker })),
      ).catch(refused),
    book: (bookings) => book(database, bookings).catch(refused),
    backend: (id) => config.backends.find((b) => b.id === id),
    async priceVersion(id) {
      if (!known.has(id)) for (const version of await priceVersions(database)) known.set(version.id, version);
      return known.get(id);
    },
    published: async (backend) => (await publishedPrices(database)).get(backend) ?? [],
    ratedOtherwise: (of, limit, after) => attemptsRatedOtherwise(database, of, limit, after),
    noteCorrection: (priceVersion, adjusted, differenceNanos) =>
      noteCorrection(database, priceVersion, adjusted, differenceNanos),
  };
}

function refused(error: Error): never {
  throw isRefusedData(error) ? new CannotBeBooked(error.message) : error;
}
