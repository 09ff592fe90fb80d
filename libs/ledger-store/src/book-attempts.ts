import type { AttemptTerms, MeteringUsageRatedV1, Usage, UsageAttemptOpenedV1 } from '@meritorder/contracts';
import { subjects } from '@meritorder/contracts';
import { entriesFor, mayFollow, spendChange, type AttemptState, type Charge } from '@meritorder/ledger-core';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';
import { putOutbox, type OutboxRow } from './outbox.js';

export type Cause = MeteringUsageRatedV1['cause'];

/** An attempt and the charge that is now known of it. */
export interface Booking {
  terms: AttemptTerms;
  worker: string;
  charge: Charge;
  cause: Cause;
  outcome: string;
  usage?: Usage | undefined;
  providerCallId?: string | undefined;
  occurredAt: string;
  traceparent?: string | undefined;
}

/** What is in force after a booking, for the hold: the same answer however often it is asked. */
export interface Settlement {
  attemptId: string;
  charge: Charge;
  /** Whether this call changed the books. */
  changed: boolean;
}

/** Records attempts as opened. One that is known already, in any state, stays as it is. */
export async function recordOpened(source: DataSource, events: readonly UsageAttemptOpenedV1[]): Promise<void> {
  await insertAttempts(
    source.manager,
    events.map((e) => ({ terms: e, worker: e.worker })),
  );
}

/**
 * Books charges in one transaction: guard, entries, window totals, attempts, outbox. A repeated booking changes nothing and
 * gives the same answer. A charge that may not follow the one in force is ignored.
 */
export async function book(source: DataSource, bookings: readonly Booking[]): Promise<Settlement[]> {
  const distinct = [...new Map(bookings.map((b) => [b.terms.attemptId, b])).values()].sort((a, b) =>
    a.terms.attemptId < b.terms.attemptId ? -1 : 1,
  );
  if (distinct.length === 0) return [];
  return inTransaction(source, async (manager) => {
    await insertAttempts(manager, distinct);
    const before = await claim(manager, distinct);
    const changes = distinct.flatMap((booking): Change[] => {
      const known = before.get(booking.terms.attemptId);
      if (known && !mayFollow(known.charge.state, booking.charge.state)) return [];
      return [{ booking, before: known?.charge, revision: (known?.revision ?? 0) + 1 }];
    });
    if (changes.length > 0) {
      await writeGuards(manager, changes);
      await writeEntries(manager, changes);
      await writeSpend(manager, changes);
      await writeAttempts(manager, changes);
      await putOutbox(manager, 'metering', changes.map(ratedEvent));
    }
    const changed = new Set(changes.map((c) => c.booking.terms.attemptId));
    return distinct.map(({ terms, charge }) => ({
      attemptId: terms.attemptId,
      charge: changed.has(terms.attemptId) ? charge : before.get(terms.attemptId)!.charge,
      changed: changed.has(terms.attemptId),
    }));
  });
}

/**
 * Books attempts whose hold ended with its lease as free: they were never opened, so nothing was ever sent. Also for attempts
 * whose record is still on its way: it will find the guard.
 */
export async function bookExpired(source: DataSource, attemptIds: readonly string[]): Promise<void> {
  if (attemptIds.length === 0) return;
  const sorted = attemptIds.toSorted();
  await inTransaction(source, async (manager) => {
    await manager.query(
      `insert into attempt_settled (attempt_id, state, revision, cash_nanos, full_nanos)
       select a, 'free', 1, 0, 0 from unnest($1::text[]) as rows(a) on conflict do nothing`,
      [sorted],
    );
    await manager.query(
      `update attempt a set state = 'free', outcome = 'not-sent' from attempt_settled s
       where a.attempt_id = any($1) and s.attempt_id = a.attempt_id and s.state = 'free' and a.state = 'opened'`,
      [sorted],
    );
  });
}

interface Change {
  booking: Booking;
  before: Charge | undefined;
  revision: number;
}

async function insertAttempts(
  manager: EntityManager,
  rows: readonly { terms: AttemptTerms; worker: string }[],
): Promise<void> {
  const sorted = rows.toSorted((a, b) => (a.terms.attemptId < b.terms.attemptId ? -1 : 1));
  const column = <T>(of: (row: { terms: AttemptTerms; worker: string }) => T): T[] => sorted.map(of);
  await manager.query(
    `insert into attempt (attempt_id, request_id, org, provider, backend, state, terms, bound_cash_nanos, bound_full_nanos, reserved_at, deadline_at, worker)
     select a, r, o, p, b, coalesce((select state from attempt_settled where attempt_id = a), 'opened'), t, c, f, s, d, w
     from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::text[])
       as rows(a, r, o, p, b, t, c, f, s, d, w)
     on conflict do nothing`,
    [
      column((r) => r.terms.attemptId),
      column((r) => r.terms.requestId),
      column((r) => r.terms.attribution.org),
      column((r) => r.terms.provider),
      column((r) => r.terms.backend),
      column((r) => JSON.stringify(termsOnly(r.terms))),
      column((r) => r.terms.bound.cashNanos),
      column((r) => r.terms.bound.fullNanos),
      column((r) => r.terms.reservedAt),
      column((r) => r.terms.deadlineAt),
      column((r) => r.worker),
    ],
  );
}

/** Events carry more than the terms; only these are kept as such. */
function termsOnly(t: AttemptTerms): AttemptTerms {
  const {
    attemptId,
    requestId,
    attemptNumber,
    attribution,
    backend,
    provider,
    model,
    kind,
    epoch,
    bound,
    windows,
    priceVersion,
    reservedAt,
    deadlineAt,
  } = t;
  return {
    attemptId,
    requestId,
    attemptNumber,
    attribution,
    backend,
    provider,
    model,
    kind,
    epoch,
    bound,
    windows,
    priceVersion,
    reservedAt,
    deadlineAt,
  };
}

/**
 * Claims the guard rows: inserts those that are not there, in the state that is about to be booked, and locks those that are.
 * @returns what was in force before, for attempts that had been booked.
 */
async function claim(
  manager: EntityManager,
  bookings: readonly Booking[],
): Promise<Map<string, { charge: Charge; revision: number }>> {
  const ids = bookings.map((b) => b.terms.attemptId);
  const inserted: { attempt_id: string }[] = await manager.query(
    `insert into attempt_settled (attempt_id, state, revision, cash_nanos, full_nanos)
     select a, 'free', 0, 0, 0 from unnest($1::text[]) as rows(a) on conflict do nothing returning attempt_id`,
    [ids],
  );
  const fresh = new Set(inserted.map((r) => r.attempt_id));
  const known = ids.filter((id) => !fresh.has(id));
  if (known.length === 0) return new Map();
  const rows: { attempt_id: string; state: AttemptState; revision: number; cash_nanos: string; full_nanos: string }[] =
    await manager.query(
      `select attempt_id, state, revision, cash_nanos, full_nanos from attempt_settled where attempt_id = any($1) order by attempt_id for update`,
      [known],
    );
  return new Map(
    rows.map((r) => [
      r.attempt_id,
      {
        revision: r.revision,
        charge: { state: r.state, cashNanos: BigInt(r.cash_nanos), fullNanos: BigInt(r.full_nanos) },
      },
    ]),
  );
}

async function writeGuards(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  await manager.query(
    `update attempt_settled s set state = n.state, revision = n.revision, cash_nanos = n.cash, full_nanos = n.full_cost, recorded_at = now()
     from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[]) as n(id, state, revision, cash, full_cost)
     where s.attempt_id = n.id`,
    [
      changes.map((c) => c.booking.terms.attemptId),
      changes.map((c) => c.booking.charge.state),
      changes.map((c) => c.revision),
      changes.map((c) => c.booking.charge.cashNanos.toString()),
      changes.map((c) => c.booking.charge.fullNanos.toString()),
    ],
  );
}

async function writeEntries(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  const rows = changes.flatMap((change) =>
    entriesFor(change.booking.terms, change.before, change.booking.charge).map((entry) => ({ ...entry, ...change })),
  );
  if (rows.length === 0) return;
  await manager.query(
    `insert into ledger_entry (attempt_id, revision, kind, debit_account, credit_account, amount_nanos, price_version, cause, occurred_at)
     select * from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::timestamptz[])`,
    [
      rows.map((r) => r.booking.terms.attemptId),
      rows.map((r) => r.revision),
      rows.map((r) => r.kind),
      rows.map((r) => r.debitAccount),
      rows.map((r) => r.creditAccount),
      rows.map((r) => r.amountNanos.toString()),
      rows.map((r) => r.booking.terms.priceVersion),
      rows.map((r) => r.booking.cause),
      rows.map((r) => r.booking.occurredAt),
    ],
  );
}

/** Window totals, summed first and in a fixed order, so that batches never wait for each other in a circle. */
async function writeSpend(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  const totals = new Map<string, { budget: string; window: string; settled: Nanos; unconfirmed: Nanos }>();
  for (const { booking, before } of changes) {
    for (const { budget, window, basis } of booking.terms.windows) {
      const change = spendChange(before, booking.charge, basis);
      const key = `${budget} ${window}`;
      const total = totals.get(key) ?? { budget, window, settled: 0n, unconfirmed: 0n };
      total.settled += change.settledNanos;
      total.unconfirmed += change.unconfirmedNanos;
      totals.set(key, total);
    }
  }
  const rows = [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, total]) => total);
  if (rows.length === 0) return;
  await manager.query(
    `insert into window_spend (budget, window_id, settled_nanos, unconfirmed_nanos)
     select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
     on conflict (budget, window_id) do update set
       settled_nanos = window_spend.settled_nanos + excluded.settled_nanos,
       unconfirmed_nanos = window_spend.unconfirmed_nanos + excluded.unconfirmed_nanos,
       changed_at = now()`,
    [
      rows.map((r) => r.budget),
      rows.map((r) => r.window),
      rows.map((r) => r.settled.toString()),
      rows.map((r) => r.unconfirmed.toString()),
    ],
  );
}

async function writeAttempts(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  await manager.query(
    `update attempt a set state = n.state, outcome = n.outcome, usage = coalesce(n.usage, a.usage), provider_call_id = coalesce(n.call_id, a.provider_call_id)
     from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[]) as n(id, state, outcome, usage, call_id)
     where a.attempt_id = n.id`,
    [
      changes.map((c) => c.booking.terms.attemptId),
      changes.map((c) => c.booking.charge.state),
      changes.map((c) => c.booking.outcome),
      changes.map((c) => (c.booking.usage ? JSON.stringify(c.booking.usage) : null)),
      changes.map((c) => c.booking.providerCallId ?? null),
    ],
  );
}

function ratedEvent({ booking, before, revision }: Change): OutboxRow {
  const { terms, charge } = booking;
  const body: MeteringUsageRatedV1 = {
    attemptId: terms.attemptId,
    requestId: terms.requestId,
    revision,
    state: charge.state,
    cause: booking.cause,
    attribution: terms.attribution,
    backend: terms.backend,
    provider: terms.provider,
    model: terms.model,
    kind: terms.kind,
    ...(booking.usage ? { usage: booking.usage } : {}),
    priceVersion: terms.priceVersion,
    cost: { cashNanos: charge.cashNanos.toString(), fullNanos: charge.fullNanos.toString() },
    change: {
      cashNanos: (charge.cashNanos - (before?.cashNanos ?? 0n)).toString(),
      fullNanos: (charge.fullNanos - (before?.fullNanos ?? 0n)).toString(),
    },
    bound: terms.bound,
    windows: terms.windows,
    occurredAt: booking.occurredAt,
    recordedAt: new Date().toISOString(),
  };
  return {
    type: 'metering.usage-rated.v1',
    subject: subjects.meteringUsageRated(terms.attribution.org),
    messageId: `${terms.attemptId}/r${revision}`,
    body,
    occurredAt: booking.occurredAt,
    traceparent: booking.traceparent,
  };
}
