import type { AttemptTerms } from '@meritorder/contracts';
import type { EntityManager } from 'typeorm';
import type { Booking } from './book-attempts.js';

/** What an attempt holds only grows, and only while it is open: afterwards its charge stands. */
export async function raiseBounds(manager: EntityManager, terms: readonly AttemptTerms[]): Promise<void> {
  const grown = terms.filter((t) => t.governed !== undefined);
  if (grown.length === 0) return;
  await manager.query(
    `with grown as (
       select id, max(cash) as cash, max(full_cost) as full_cost
       from unnest($1::text[], $2::bigint[], $3::bigint[]) as n(id, cash, full_cost) group by id
     ), locked as (
       select attempt_id, greatest(bound_cash_nanos, cash) as cash, greatest(bound_full_nanos, full_cost) as full_cost
       from attempt join grown on attempt_id = id
       where state = 'opened' and (cash > bound_cash_nanos or full_cost > bound_full_nanos)
       order by attempt_id for update of attempt
     )
     update attempt a set bound_cash_nanos = n.cash, bound_full_nanos = n.full_cost,
       terms = jsonb_set(a.terms, '{bound}', jsonb_build_object('cashNanos', n.cash::text, 'fullNanos', n.full_cost::text))
     from locked n where a.attempt_id = n.attempt_id`,
    [grown.map((t) => t.attemptId), grown.map((t) => t.bound.cashNanos), grown.map((t) => t.bound.fullNanos)],
  );
}

/**
 * The bookings of governed attempts, each with the bound that is on record: an extension that the worker never heard of is held all
 * the same, and an unconfirmed charge is what is held.
 */
export async function atRecordedBounds(manager: EntityManager, bookings: readonly Booking[]): Promise<Booking[]> {
  const governed = bookings.filter((b) => b.terms.governed !== undefined).map((b) => b.terms);
  if (governed.length === 0) return [...bookings];
  await raiseBounds(manager, governed);
  const rows: { attempt_id: string; cash: string; full_cost: string }[] = await manager.query(
    `select attempt_id, bound_cash_nanos as cash, bound_full_nanos as full_cost from attempt where attempt_id = any($1)
     order by attempt_id for update`,
    [governed.map((t) => t.attemptId)],
  );
  const recorded = new Map(rows.map((r) => [r.attempt_id, { cashNanos: r.cash, fullNanos: r.full_cost }]));
  return bookings.map((booking) => {
    const bound = recorded.get(booking.terms.attemptId);
    if (!bound) return booking;
    const { charge } = booking;
    return {
      ...booking,
      terms: { ...booking.terms, bound },
      charge:
        charge.state === 'unconfirmed'
          ? { ...charge, cashNanos: BigInt(bound.cashNanos), fullNanos: BigInt(bound.fullNanos) }
          : charge,
    };
  });
}
