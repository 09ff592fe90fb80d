import { readInvoice } from '@meritorder/cli';
import { Counters } from '@meritorder/counters';
import { connectDatabase } from '@meritorder/ledger-store';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { expect } from 'vitest';
import { allClosed, booksAsInvoice, countersAsBooks, type ImportedInvoice } from './books.js';
import { startProduct, type Product } from './harness.js';

/** The whole product with an org that hears the results of its jobs. */
export interface JobsWorld {
  product: Product;
  app: NatsConnection;
  operator: NatsConnection;
  counters: Counters;
  database: DataSource;
  /** Results by request, as the org's subscriber is delivered them. */
  results: Map<string, { requestId: string; status: string; body: any }[]>;
  stop(): Promise<void>;
}

/** Two routers and two provider-workers, started again when they are killed. */
export async function startJobs(
  name: string,
  options: Pick<Parameters<typeof startProduct>[0], 'backends' | 'config' | 'env'>,
): Promise<JobsWorld> {
  const product = await startProduct({
    ...options,
    instances: { router: 2, 'provider-worker': 2 },
    supervise: true,
  });
  const results: JobsWorld['results'] = new Map();
  const app = await product.app();
  app.subscribe('deliver.v1.acme.results', {
    callback: (_error, message) => {
      const result = message.json<any>();
      const all = [...(results.get(result.requestId) ?? []), result];
      results.set(result.requestId, all);
      // Every fifth event is not acknowledged the first time, and comes again.
      if (all.length > 1 || results.size % 5 !== 0) message.respond();
    },
  });
  const operator = await product.stack.connectOperator();
  const counters = await Counters.connect(product.stack.redis.url);
  const database = await connectDatabase(product.stack.database.url, name, 2);
  return {
    product,
    app,
    operator,
    counters,
    database,
    results,
    async stop() {
      await counters.close();
      await database.destroy();
      await operator.close();
      await product.stop();
    },
  };
}

/** What was delivered more than once is the same event again. @returns how many jobs ended with each status */
export function expectOneResultEach({ results }: JobsWorld, ids: Iterable<string>): Record<string, number> {
  const statuses: Record<string, number> = {};
  for (const id of ids) {
    const all = results.get(id)!;
    for (const again of all) expect(again).toEqual(all[0]);
    statuses[all[0]!.status] = (statuses[all[0]!.status] ?? 0) + 1;
  }
  return statuses;
}

/**
 * When all attempts are closed: the books equal the invoice after its import, balance, and are what the counters say, with nothing
 * held any more. @returns how many charges were unconfirmed until then, and how many calls the invoice has
 */
export async function expectBooksAsInvoice(
  world: JobsWorld,
  others: Record<string, string> = {},
): Promise<{ unconfirmed: number; calls: number; imported: ImportedInvoice }> {
  const unconfirmed = await allClosed(world);
  const { lines } = await readInvoice(`${world.product.simulator.url}/invoice`);
  const imported = await booksAsInvoice(world, others);
  const own = lines.filter(({ model }) => others[String(model)] === undefined);
  expect(imported).toMatchObject({
    aboveBound: [],
    totals: { ledgerNanos: own.reduce((sum, l) => sum + BigInt(l.nanoUsd), 0n).toString(), unconfirmed: 0 },
  });
  await countersAsBooks(world.counters, world.database);
  return { unconfirmed, calls: lines.length, imported };
}
