import type { MeritorderConfig, PriceVersion } from '@meritorder/contracts';
import type { Counters } from '@meritorder/counters';
import {
  book,
  isRefusedData,
  keepUntold,
  priceVersions,
  recordOpened,
  type Settlement,
} from '@meritorder/ledger-store';
import type { Bus } from '@meritorder/messaging';
import type { DataSource } from 'typeorm';
import { CannotBeBooked, type Books } from './application/book-usage.js';
import { settleHolds } from './application/settle-holds.js';

export const METERING = Symbol('METERING');

export class MeteringRuntime {
  readonly books: Books;

  constructor(
    readonly config: MeritorderConfig,
    readonly bus: Bus,
    readonly database: DataSource,
    readonly counters: Counters,
    /** Ids of the price versions that the configuration names now. */
    readonly configured: ReadonlySet<string>,
  ) {
    this.books = postgresBooks(database);
  }

  /** Tells the counters, or keeps what they cannot be told now. After this a message may be acknowledged. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    await keepUntold(this.database, await settleHolds(this.counters, settlements));
  }
}

function postgresBooks(database: DataSource): Books {
  const known = new Map<string, PriceVersion>();
  return {
    recordOpened: (events) => recordOpened(database, events).catch(refused),
    book: (bookings) => book(database, bookings).catch(refused),
    async priceVersion(id) {
      if (!known.has(id)) for (const version of await priceVersions(database)) known.set(version.id, version);
      return known.get(id);
    },
  };
}

function refused(error: Error): never {
  throw isRefusedData(error) ? new CannotBeBooked(error.message) : error;
}
