import { importInvoice, readInvoice, type Invoice } from '@meritorder/cli';
import { Counters } from '@meritorder/counters';
import {
  attemptsByIds,
  connectDatabase,
  trialBalance,
  unsettledAttempts,
  windowTotals,
} from '@meritorder/ledger-store';
import type { Stack } from '@meritorder/launcher';
import type { NatsConnection } from '@nats-io/transport-node';
import { waitFor } from '@meritorder/testing';
import type { PlannedBudget } from './plan.js';
import { isProbe } from './reservation-probe.js';
import { PROVIDER } from './simulated-provider.js';
import type { BudgetSpend } from './target.js';

type Database = Awaited<ReturnType<typeof connectDatabase>>;

/** Calm for this long: what is still on its way through the streams has arrived. */
const CALM_MS = 1_000;
const CHUNK = 1_000;

/** Waits until everything is booked, then compares invoice, ledger and counters, before and after the invoice is imported. */
export async function settleBooks(
  stack: Stack,
  operator: NatsConnection,
  providerUrl: string,
  budgets: ReadonlyMap<string, PlannedBudget>,
): Promise<{ spends: BudgetSpend[]; checks: Record<string, number> }> {
  const database = await connectDatabase(stack.database.url, 'meritorder-overshoot', 2);
  const counters = await Counters.connect(stack.redis.url);
  try {
    await allClosed(stack, database);
    const countersDifferenceNanos = Number(await countersDifference(counters, database));
    const unconfirmed = (await unsettledAttempts(database)).filter((a) => a.state === 'unconfirmed').length;
    const invoice = await completeInvoice(providerUrl);
    const report = await importInvoice(operator, PROVIDER, invoice);
    const ledger = BigInt(report.totals!.ledgerNanos);
    const billed = invoice.lines.reduce((sum, line) => sum + BigInt(line.nanoUsd), 0n);
    return {
      spends: await spends(database, invoice, budgets),
      checks: {
        unconfirmed,
        countersDifferenceNanos,
        countersDifferenceAfterInvoiceNanos: Number(await countersDifference(counters, database)),
        confirmedDifferenceNanos: Number(report.confirmedDifferenceNanos),
        ledgerDifferenceNanos: Number(ledger - billed),
        trialBalanceNanos: Number((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)),
        aboveBound: report.aboveBound.length,
        unmatchedLines: report.unmatchedLines.length,
      },
    };
  } finally {
    await counters.close();
    await database.destroy();
  }
}

async function allClosed(stack: Stack, database: Database): Promise<void> {
  const { requestDeadlineMs, unconfirmedGraceMs } = stack.config.limits;
  let calmSince = 0;
  await waitFor(
    async () => {
      const open = (await unsettledAttempts(database)).filter((a) => a.state === 'opened').length;
      if (open > 0) calmSince = 0;
      else if (calmSince === 0) calmSince = Date.now();
      return calmSince > 0 && Date.now() - calmSince >= CALM_MS;
    },
    {
      message: 'every attempt to be closed or unconfirmed',
      timeoutMs: requestDeadlineMs + unconfirmedGraceMs + 30_000,
      everyMs: 100,
    },
  );
}

/**
 * What counters and books differ by, once nothing is held any more; the last difference when that does not come.
 * Leases of holds that were never opened have ended by then.
 */
async function countersDifference(counters: Counters, database: Database): Promise<bigint> {
  let difference = -1n;
  await waitFor(
    async () => {
      difference = await differenceNow(counters, database);
      return difference === 0n;
    },
    { message: 'the counters to equal the books', timeoutMs: 20_000, everyMs: 200 },
  ).catch(() => {});
  return difference;
}

async function differenceNow(counters: Counters, database: Database): Promise<bigint> {
  const abs = (n: bigint): bigint => (n < 0n ? -n : n);
  const books = new Map((await windowTotals(database)).map((t) => [`${t.budget} ${t.window}`, t]));
  let difference = 0n;
  for (const w of await counters.inspectWindows()) {
    if (isProbe(w.budget)) continue;
    const key = `${w.budget} ${w.window}`;
    const t = books.get(key);
    difference +=
      abs(w.settledNanos - (t?.settledNanos ?? 0n)) +
      abs(w.unconfirmedNanos - (t?.unconfirmedNanos ?? 0n)) +
      abs(w.reservedNanos);
    books.delete(key);
  }
  for (const t of books.values()) difference += abs(t.settledNanos) + abs(t.unconfirmedNanos);
  return difference;
}

async function completeInvoice(providerUrl: string): Promise<Invoice> {
  const invoice = await readInvoice(`${providerUrl}/invoice`);
  return { ...invoice, from: '2000-01-01T00:00:00.000Z', to: new Date(Date.now() + 1_000).toISOString() };
}

/** By budget window: what the provider charged for its attempts, and what the ledger says. */
async function spends(
  database: Database,
  invoice: Invoice,
  budgets: ReadonlyMap<string, PlannedBudget>,
): Promise<BudgetSpend[]> {
  const invoiced = new Map<string, bigint>();
  for (let i = 0; i < invoice.lines.length; i += CHUNK) {
    const lines = new Map(invoice.lines.slice(i, i + CHUNK).map((l) => [l.clientRequestId ?? '', BigInt(l.nanoUsd)]));
    for (const { attemptId, terms } of await attemptsByIds(database, [...lines.keys()])) {
      for (const { budget, window } of terms.windows) {
        const key = `${budget} ${window}`;
        invoiced.set(key, (invoiced.get(key) ?? 0n) + lines.get(attemptId)!);
      }
    }
  }
  return (await windowTotals(database)).map((total) => ({
    budget: total.budget,
    limitNanos: budgets.get(total.budget)!.limitNanos,
    invoiceNanos: invoiced.get(`${total.budget} ${total.window}`) ?? 0n,
    bookedNanos: total.settledNanos + total.unconfirmedNanos,
  }));
}
