import type {
  AttemptTerms,
  EngineTimings,
  MeteringUsageRatedV1,
  ServiceTier,
  Usage,
  UsageAttemptOpenedV1,
  UsageBasis,
} from '@meritorder/contracts';
import { subjects } from '@meritorder/contracts';
import { entriesFor, mayFollow, spendChange, type AttemptState, type Charge } from '@meritorder/ledger-core';
import type { Nanos } from '@meritorder/kernel';
import type { DataSource, EntityManager } from 'typeorm';
import { withCharges } from './charge-claims.js';
import { inTransaction } from './database.js';
import { putOutbox, type OutboxRow } from './outbox.js';
import { atRecordedBounds, raiseBounds } from './recorded-bounds.js';

export type Cause = MeteringUsageRatedV1['cause'];

/** An attempt and the charge that is now known of it. */
export interface Booking {
  terms: AttemptTerms;
  worker: string;
  charge: Charge;
  cause: Cause;
  outcome: string;
  /** Why it ended so, where there is a reason. */
  code?: string | undefined;
  /** Whether the customer has what is charged for: `isAnswer` of how it ended. What is not known of it is not. */
  answered?: boolean | undefined;
  usage?: Usage | undefined;
  usageBasis?: UsageBasis | undefined;
  servedModel?: string | undefined;
  servedTier?: ServiceTier | undefined;
  timings?: (EngineTimings & { concurrency?: number | undefined }) | undefined;
  /** When the answer ended; what time-of-day prices go by. */
  closedAt?: string | undefined;
  /** The version that the charge rests on, if not the one of the reservation. */
  priceVersion?: string | undefined;
  native?: MeteringUsageRatedV1['native'];
  unpriced?: readonly string[] | undefined;
  /** Replaces a confirmed charge: a late price, or an invoice for what was only estimated. */
  correction?: boolean;
  providerCallId?: string | undefined;
  occurredAt: string;
  traceparent?: string | undefined;
}

/** What is in force after a booking, for the hold: the same answer however often it is asked. */
export interface Settlement {
  attemptId: string;
  charge: Charge;
  /** What was in force before this call, if anything. */
  before?: Charge | undefined;
  /** Whether this call changed the books. */
  changed: boolean;
  /** What was held for it, as far as this call looked at it. */
  bound?: AttemptTerms['bound'];
}

/** Records attempts as opened. One that is known already, in any state, stays as it is. */
export async function recordOpened(source: DataSource, events: readonly UsageAttemptOpenedV1[]): Promise<void> {
  await insertAttempts(
    source.manager,
    events.map((e) => ({ terms: e, worker: e.worker })),
  );
}

/** The backends of those attempts that are on record, by attempt. */
export async function recordedBackends(
  source: DataSource,
  attemptIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (attemptIds.length === 0) return new Map();
  const rows: { attempt_id: string; backend: string }[] = await source.query(
    'select attempt_id, backend from attempt where attempt_id = any($1)',
    [attemptIds],
  );
  return new Map(rows.map((row) => [row.attempt_id, row.backend]));
}

/** Records what is held by now for attempts that are open; also for one whose opening was not seen yet. Never lowers it. */
export async function recordExtended(
  source: DataSource,
  events: readonly { terms: AttemptTerms; worker: string }[],
): Promise<void> {
  if (events.length === 0) return;
  await inTransaction(source, async (manager) => {
    await insertAttempts(manager, events);
    await raiseBounds(
      manager,
      events.map((e) => e.terms),
    );
  });
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
    const bounded = await atRecordedBounds(manager, distinct);
    const before = await claim(manager, distinct);
    const permitted = bounded.flatMap((booking): Change[] => {
      const known = before.get(booking.terms.attemptId);
      if (known ? !mayFollow(known.charge.state, booking.charge.state, booking.correction) : booking.correction)
        return [];
      return [{ booking, before: known?.charge, revision: (known?.revision ?? 0) + 1 }];
    });
    const changes = await withCharges(manager, permitted);
    if (changes.length > 0) {
      await writeGuards(manager, changes);
      await writeEntries(manager, changes);
      await writeSpend(manager, changes);
      const codes = await writeAttempts(manager, changes);
      await putOutbox(
        manager,
        'metering',
        changes.map((change) => ratedEvent(change, codes.get(change.booking.terms.attemptId))),
      );
    }
    const changed = new Map(changes.map(({ booking: { terms, charge } }) => [terms.attemptId, charge]));
    return bounded.map(({ terms: { attemptId, bound } }) => ({
      attemptId,
      bound,
      charge: changed.get(attemptId) ?? before.get(attemptId)!.charge,
      before: before.get(attemptId)?.charge,
      changed: changed.has(attemptId),
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

/** A booking that changes the books. */
export interface Change {
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

/** Events carry more than the terms; only these are kept as such. What was expected goes out with the rated event. */
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
    governed,
    windows,
    priceVersion,
    otherPriceVersions,
    reservedAt,
    deadlineAt,
    hedgeOf,
    charge,
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
    ...(governed ? { governed } : {}),
    windows,
    priceVersion,
    ...(otherPriceVersions ? { otherPriceVersions } : {}),
    reservedAt,
    deadlineAt,
    ...(hedgeOf ? { hedgeOf } : {}),
    ...(charge ? { charge } : {}),
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
  const rows: {
    attempt_id: string;
    state: AttemptState;
    revision: number;
    cash_nanos: string;
    full_nanos: string;
    charged_nanos: string | null;
  }[] = await manager.query(
    `select attempt_id, state, revision, cash_nanos, full_nanos, charged_nanos from attempt_settled
     where attempt_id = any($1) order by attempt_id for update`,
    [known],
  );
  return new Map(
    rows.map((r) => [
      r.attempt_id,
      {
        revision: r.revision,
        charge: {
          state: r.state,
          cashNanos: BigInt(r.cash_nanos),
          fullNanos: BigInt(r.full_nanos),
          ...(r.charged_nanos === null ? {} : { chargedNanos: BigInt(r.charged_nanos) }),
        },
      },
    ]),
  );
}

async function writeGuards(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  await manager.query(
    `update attempt_settled s set state = n.state, revision = n.revision, cash_nanos = n.cash, full_nanos = n.full_cost,
       marginal_nanos = n.marginal, price_version = n.price, charged_nanos = n.charged, recorded_at = now()
     from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[])
       as n(id, state, revision, cash, full_cost, marginal, price, charged)
     where s.attempt_id = n.id`,
    [
      changes.map((c) => c.booking.terms.attemptId),
      changes.map((c) => c.booking.charge.state),
      changes.map((c) => c.revision),
      changes.map((c) => c.booking.charge.cashNanos.toString()),
      changes.map((c) => c.booking.charge.fullNanos.toString()),
      changes.map((c) => (c.booking.charge.marginalNanos ?? c.booking.charge.cashNanos).toString()),
      changes.map((c) => priceVersionOf(c.booking)),
      changes.map((c) => c.booking.charge.chargedNanos?.toString() ?? null),
    ],
  );
}

function priceVersionOf({ priceVersion, terms }: Booking): string {
  return priceVersion ?? terms.priceVersion;
}

async function writeEntries(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  const rows = changes.flatMap((change) =>
    entriesFor(change.booking.terms, change.before, change.booking.charge, change.booking.correction).map((entry) => ({
      ...entry,
      ...change,
    })),
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
      rows.map((r) => priceVersionOf(r.booking)),
      rows.map((r) => r.booking.cause),
      rows.map((r) => r.booking.occurredAt),
    ],
  );
}

interface SpendChange {
  budget: string;
  window: string;
  template: string | null;
  values: string | null;
  settled: Nanos;
  unconfirmed: Nanos;
  corrected: Nanos;
}

/** Window totals, summed first and in a fixed order, so that batches never wait for each other in a circle. */
async function writeSpend(manager: EntityManager, changes: readonly Change[]): Promise<void> {
  const totals = new Map<string, SpendChange>();
  for (const { booking, before } of changes) {
    for (const { budget, window, basis, template, values } of booking.terms.windows) {
      const change = spendChange(before, booking.charge, basis);
      const key = `${budget} ${window}`;
      const total = totals.get(key) ?? {
        budget,
        window,
        template: template ?? null,
        values: json(values),
        settled: 0n,
        unconfirmed: 0n,
        corrected: 0n,
      };
      if (booking.correction) total.corrected += change.settledNanos;
      else total.settled += change.settledNanos;
      total.unconfirmed += change.unconfirmedNanos;
      totals.set(key, total);
    }
  }
  const rows = [...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, total]) => total);
  if (rows.length === 0) return;
  await manager.query(
    `insert into window_spend (budget, window_id, settled_nanos, unconfirmed_nanos, corrected_nanos, template, instance_values)
     select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::jsonb[])
     on conflict (budget, window_id) do update set
       settled_nanos = window_spend.settled_nanos + excluded.settled_nanos,
       unconfirmed_nanos = window_spend.unconfirmed_nanos + excluded.unconfirmed_nanos,
       corrected_nanos = window_spend.corrected_nanos + excluded.corrected_nanos,
       changed_at = now()`,
    [
      rows.map((r) => r.budget),
      rows.map((r) => r.window),
      rows.map((r) => r.settled.toString()),
      rows.map((r) => r.unconfirmed.toString()),
      rows.map((r) => r.corrected.toString()),
      rows.map((r) => r.template),
      rows.map((r) => r.values),
    ],
  );
}

/** @returns why they ended, as given by now or before, of those where it is known. */
async function writeAttempts(manager: EntityManager, changes: readonly Change[]): Promise<Map<string, string>> {
  const known: { attempt_id: string; code: string }[] = await manager.query(
    `with written as (update attempt a set state = n.state, outcome = n.outcome, usage = coalesce(n.usage, a.usage),
       provider_call_id = coalesce(n.call_id, a.provider_call_id), usage_basis = coalesce(n.basis, a.usage_basis),
       served_model = coalesce(n.model, a.served_model), served_tier = coalesce(n.tier, a.served_tier),
       closed_at = coalesce(n.closed, a.closed_at), timings = coalesce(n.timings, a.timings),
       unpriced = n.unpriced, native = n.native, code = coalesce(n.code, a.code)
     from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::timestamptz[], $10::jsonb[], $11::jsonb[], $12::jsonb[], $13::text[])
       as n(id, state, outcome, usage, call_id, basis, model, tier, closed, timings, unpriced, native, code)
     where a.attempt_id = n.id returning a.attempt_id, a.code)
     select attempt_id, code from written where code is not null`,
    [
      changes.map((c) => c.booking.terms.attemptId),
      changes.map((c) => c.booking.charge.state),
      changes.map((c) => c.booking.outcome),
      changes.map((c) => json(c.booking.usage)),
      changes.map((c) => c.booking.providerCallId ?? null),
      changes.map((c) => c.booking.usageBasis ?? null),
      changes.map((c) => c.booking.servedModel ?? null),
      changes.map((c) => c.booking.servedTier ?? null),
      changes.map((c) => c.booking.closedAt ?? null),
      changes.map((c) => json(c.booking.timings)),
      changes.map((c) => json(c.booking.unpriced?.length ? c.booking.unpriced : undefined)),
      changes.map((c) => json(c.booking.native)),
      changes.map((c) => c.booking.code ?? null),
    ],
  );
  return new Map(known.map((row) => [row.attempt_id, row.code]));
}

function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function ratedEvent({ booking, before, revision }: Change, code: string | undefined): OutboxRow {
  const { terms, charge } = booking;
  const body: MeteringUsageRatedV1 = {
    attemptId: terms.attemptId,
    requestId: terms.requestId,
    revision,
    state: charge.state,
    cause: booking.cause,
    outcome: booking.outcome,
    ...(code === undefined ? {} : { code }),
    ...(terms.hedgeOf === undefined ? {} : { hedgeOf: terms.hedgeOf }),
    attribution: terms.attribution,
    backend: terms.backend,
    provider: terms.provider,
    model: terms.model,
    kind: terms.kind,
    ...(booking.usage ? { usage: booking.usage } : {}),
    ...(booking.usageBasis ? { usageBasis: booking.usageBasis } : {}),
    ...(booking.servedModel ? { servedModel: booking.servedModel } : {}),
    ...(booking.servedTier ? { servedTier: booking.servedTier } : {}),
    priceVersion: priceVersionOf(booking),
    cost: { cashNanos: charge.cashNanos.toString(), fullNanos: charge.fullNanos.toString() },
    change: {
      cashNanos: (charge.cashNanos - (before?.cashNanos ?? 0n)).toString(),
      fullNanos: (charge.fullNanos - (before?.fullNanos ?? 0n)).toString(),
    },
    ...(charge.chargedNanos === undefined
      ? {}
      : {
          chargedNanos: charge.chargedNanos.toString(),
          chargedChangeNanos: (charge.chargedNanos - (before?.chargedNanos ?? 0n)).toString(),
        }),
    marginalNanos: (charge.marginalNanos ?? charge.cashNanos).toString(),
    ...(booking.native ? { native: booking.native } : {}),
    ...(booking.unpriced?.length ? { unpriced: [...booking.unpriced] } : {}),
    bound: terms.bound,
    ...(terms.expected ? { expected: terms.expected } : {}),
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
