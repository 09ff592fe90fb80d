import type { ReconcileReport, ReconcileRequest } from '@meritorder/contracts';
import { NOTHING, type Charge } from '@meritorder/ledger-core';
import type { DataSource } from 'typeorm';
import { book, type Booking, type Settlement } from './book-attempts.js';
import type { AttemptEntity } from './entities/attempt.entity.js';

interface Known extends AttemptEntity {
  charge: Charge | undefined;
  /** The version that the charge rests on. */
  priceVersion: string | null;
}

/**
 * Compares a part of a provider's invoice with the books and confirms what they did not know: attempts that are unconfirmed,
 * still open or thought free are booked at the line's amount; what was only estimated is corrected to it. Confirmed ones that
 * differ are listed, never changed. Importing the same lines again changes nothing.
 */
export async function reconcile(
  source: DataSource,
  request: ReconcileRequest,
): Promise<{ report: ReconcileReport; settlements: Settlement[] }> {
  const attempts = await findAttempts(source, request);
  const report: ReconcileReport = {
    linesMatched: 0,
    confirmedByInvoice: 0,
    releasedWithoutLine: 0,
    aboveBound: [],
    differences: [],
    confirmedDifferenceNanos: '0',
    unmatchedLines: [],
  };
  let difference = 0n;
  const bookings: Booking[] = [];
  for (const line of request.lines) {
    const attempt = attempts.byId.get(line.clientRequestId ?? '') ?? attempts.byCall.get(line.callId);
    if (!attempt) {
      report.unmatchedLines.push({ callId: line.callId, clientRequestId: line.clientRequestId, nanoUsd: line.nanoUsd });
      continue;
    }
    report.linesMatched++;
    const billed = BigInt(line.nanoUsd);
    if (billed > BigInt(attempt.boundCashNanos)) {
      report.aboveBound.push({
        attemptId: attempt.attemptId,
        boundNanos: attempt.boundCashNanos,
        invoiceNanos: line.nanoUsd,
      });
    }
    if (attempt.charge?.state === 'confirmed') {
      if (attempt.charge.cashNanos === billed) continue;
      if (attempt.usageBasis === 'estimated') {
        bookings.push({ ...booking(attempt, billedAs(attempt.charge, billed)), correction: true });
      } else {
        difference += attempt.charge.cashNanos - billed;
        report.differences.push({
          attemptId: attempt.attemptId,
          ledgerNanos: attempt.charge.cashNanos.toString(),
          invoiceNanos: line.nanoUsd,
        });
      }
      continue;
    }
    // Own hardware's part of the bound stays; what is paid to others is what the invoice says.
    const absorbed = BigInt(attempt.boundFullNanos) - BigInt(attempt.boundCashNanos);
    bookings.push(booking(attempt, { state: 'confirmed', cashNanos: billed, fullNanos: billed + absorbed }));
  }
  await keepLines(source, request, attempts);
  const settlements = await book(source, bookings);
  report.confirmedByInvoice = settlements.filter((s) => s.changed).length;
  if (request.complete) {
    for (const { attemptId, cashNanos } of await confirmedWithoutLine(source, request.provider, request.complete)) {
      difference += BigInt(cashNanos);
      report.differences.push({ attemptId, ledgerNanos: cashNanos, invoiceNanos: '0' });
    }
    const released = await releaseWithoutLine(source, request.provider, request.complete);
    report.releasedWithoutLine = released.filter((s) => s.changed).length;
    settlements.push(...released);
    report.totals = await totals(source, request.provider, request.complete);
  }
  report.confirmedDifferenceNanos = difference.toString();
  return { report, settlements };
}

/** Own hardware's part stays as it was. */
function billedAs(charge: Charge, billed: bigint): Charge {
  return { state: 'confirmed', cashNanos: billed, fullNanos: billed + charge.fullNanos - charge.cashNanos };
}

function booking(attempt: AttemptEntity & { priceVersion?: string | null }, charge: Charge): Booking {
  return {
    terms: attempt.terms,
    worker: attempt.worker,
    charge,
    cause: 'invoice',
    ...(attempt.priceVersion ? { priceVersion: attempt.priceVersion } : {}),
    outcome: attempt.outcome ?? 'failed',
    occurredAt: attempt.reservedAt.toISOString(),
  };
}

async function findAttempts(
  source: DataSource,
  request: ReconcileRequest,
): Promise<{ byId: Map<string, Known>; byCall: Map<string, Known> }> {
  const rows = (await source.query(
    `select a.attempt_id as "attemptId", a.provider_call_id as "providerCallId", a.terms, a.worker, a.outcome, a.reserved_at as "reservedAt",
            a.bound_cash_nanos as "boundCashNanos", a.bound_full_nanos as "boundFullNanos", a.usage_basis as "usageBasis",
            s.price_version as "priceVersion", s.state, s.cash_nanos, s.full_nanos
     from attempt a left join attempt_settled s using (attempt_id)
     where a.provider = $1 and (a.attempt_id = any($2) or a.provider_call_id = any($3))`,
    [request.provider, request.lines.map((l) => l.clientRequestId).filter(Boolean), request.lines.map((l) => l.callId)],
  )) as (Known & { state: Charge['state'] | null; cash_nanos: string; full_nanos: string })[];
  for (const row of rows) {
    row.charge =
      row.state === null
        ? undefined
        : { state: row.state as Charge['state'], cashNanos: BigInt(row.cash_nanos), fullNanos: BigInt(row.full_nanos) };
  }
  return {
    byId: new Map(rows.map((r) => [r.attemptId, r])),
    byCall: new Map(rows.flatMap((r) => (r.providerCallId === null ? [] : [[r.providerCallId, r] as const]))),
  };
}

async function keepLines(
  source: DataSource,
  request: ReconcileRequest,
  attempts: Awaited<ReturnType<typeof findAttempts>>,
): Promise<void> {
  await source.query(
    `insert into invoice_line (provider, call_id, attempt_id, nano_usd, started_at, invoice_id)
     select $1, c, a, n, s, $6 from unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) as rows(c, a, n, s)
     on conflict do nothing`,
    [
      request.provider,
      request.lines.map((l) => l.callId),
      request.lines.map(
        (l) => (attempts.byId.get(l.clientRequestId ?? '') ?? attempts.byCall.get(l.callId))?.attemptId ?? null,
      ),
      request.lines.map((l) => l.nanoUsd),
      request.lines.map((l) => l.startedAt),
      request.invoiceId,
    ],
  );
}

/** A complete invoice without a line for an unconfirmed attempt of its period: the provider did not charge for it. */
async function releaseWithoutLine(
  source: DataSource,
  provider: string,
  period: { from: string; to: string },
): Promise<Settlement[]> {
  const rows = (await source.query(
    `select a.attempt_id as "attemptId", a.terms, a.worker, a.outcome, a.reserved_at as "reservedAt"
     from attempt a where a.provider = $1 and a.state = 'unconfirmed' and a.reserved_at between $2 and $3
       and not exists (select 1 from invoice_line l where l.attempt_id = a.attempt_id)`,
    [provider, period.from, period.to],
  )) as AttemptEntity[];
  return book(
    source,
    rows.map((row) => booking(row, NOTHING)),
  );
}

/**
 * Confirmed attempts that a complete invoice does not charge for. Only those that were booked within its period: the line of one
 * that was reserved at its end may start after it.
 */
async function confirmedWithoutLine(
  source: DataSource,
  provider: string,
  period: { from: string; to: string },
): Promise<{ attemptId: string; cashNanos: string }[]> {
  return source.query(
    `select a.attempt_id as "attemptId", s.cash_nanos as "cashNanos"
     from attempt a join attempt_settled s using (attempt_id)
     where a.provider = $1 and s.state = 'confirmed' and s.cash_nanos <> 0 and a.reserved_at >= $2 and s.recorded_at <= $3
       and not exists (select 1 from invoice_line l where l.attempt_id = a.attempt_id)
     order by a.attempt_id`,
    [provider, period.from, period.to],
  );
}

/**
 * What both sides say of a period. An attempt belongs to the period of its line; only one without a line belongs to the time of
 * its reservation, which is a little before the provider's own clock starts.
 */
async function totals(
  source: DataSource,
  provider: string,
  period: { from: string; to: string },
): Promise<NonNullable<ReconcileReport['totals']>> {
  const [row] = (await source.query(
    `with period_attempt as (
       select a.attempt_id, a.state from attempt a left join invoice_line l on l.attempt_id = a.attempt_id and l.provider = a.provider
       where a.provider = $1 and coalesce(l.started_at, a.reserved_at) between $2 and $3
     )
     select
       (select coalesce(sum(cash_nanos), 0)::text from attempt_settled where attempt_id in (select attempt_id from period_attempt)) as ledger,
       (select coalesce(sum(nano_usd), 0)::text from invoice_line where provider = $1 and started_at between $2 and $3) as invoice,
       (select count(*)::int from period_attempt where state in ('opened', 'unconfirmed')) as unconfirmed`,
    [provider, period.from, period.to],
  )) as { ledger: string; invoice: string; unconfirmed: number }[];
  return { ledgerNanos: row!.ledger, invoiceNanos: row!.invoice, unconfirmed: row!.unconfirmed };
}
