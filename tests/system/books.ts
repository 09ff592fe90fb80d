import { importInvoice, readInvoice } from '@meritorder/cli';
import type { Counters } from '@meritorder/counters';
import { trialBalance, unsettledAttempts, windowTotals } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { expect } from 'vitest';
import type { Product } from './harness.js';

const OWN = 'simco';

export type ImportedInvoice = Awaited<ReturnType<typeof importInvoice>>;

export interface Books {
  product: Product;
  operator: NatsConnection;
  database: DataSource;
}

/** Waits until no attempt is open. @returns how many are unconfirmed then */
export async function allClosed({ database }: Pick<Books, 'database'>): Promise<number> {
  const unconfirmed = await waitFor(
    async () => {
      const all = await unsettledAttempts(database);
      const [{ open }] = await database.query(`select count(*)::int as open from attempt where state = 'opened'`);
      return open === 0 && all.every((a) => a.state !== 'opened') && all;
    },
    { message: 'all attempts to be closed', timeoutMs: 120_000 },
  );
  return unconfirmed.length;
}

/** Attempts of an org by id, as metering rates them from now on. */
export async function hearRated(operator: NatsConnection, org: string): Promise<Map<string, any>> {
  const rated = new Map<string, any>();
  operator.subscribe(`metering.usage-rated.v1.${org}`, {
    callback: (_error, m) => {
      const event = m.json<any>();
      rated.set(event.attemptId, event);
    },
  });
  await operator.flush();
  return rated;
}

/**
 * When all attempts are closed, imports the provider's invoice: the books equal it then, differed in nothing that was confirmed, and
 * balance.
 * @param others which models are on the invoice of another provider
 * @returns of the one that the others are not
 */
export async function booksAsInvoice(books: Books, others: Record<string, string> = {}): Promise<ImportedInvoice> {
  const { product, operator, database } = books;
  await allClosed(books);
  const invoice = await readInvoice(`${product.simulator.url}/invoice`);
  const importOf = async (provider: string): Promise<ImportedInvoice> => {
    const imported = await importInvoice(operator, provider, {
      ...invoice,
      lines: invoice.lines.filter(({ model }) => (others[String(model)] ?? OWN) === provider),
      from: '2000-01-01T00:00:00.000Z',
      to: new Date(Date.now() + 1_000).toISOString(),
    });
    expect(imported).toMatchObject({ differences: [], unmatchedLines: [], confirmedDifferenceNanos: '0' });
    expect(imported.totals!.ledgerNanos).toBe(imported.totals!.invoiceNanos);
    return imported;
  };
  const imported = await importOf(OWN);
  for (const provider of new Set(Object.values(others))) await importOf(provider);
  expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  return imported;
}

/** The counters come to say what the books do, with nothing held any more. */
export async function countersAsBooks(counters: Counters, database: DataSource): Promise<void> {
  const books = new Map((await windowTotals(database)).map((t) => [t.budget, t]));
  await waitFor(async () => {
    const windows = await counters.inspectWindows();
    return windows.every((w) => {
      const total = books.get(w.budget);
      return (
        w.reservedNanos === 0n &&
        w.unconfirmedNanos === (total?.unconfirmedNanos ?? 0n) &&
        w.settledNanos === (total?.settledNanos ?? 0n)
      );
    });
  }, 'the counters to equal the books, with nothing held any more');
}
