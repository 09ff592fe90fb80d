import { chargedNanos } from '@meritorder/margin-core';
import type { EntityManager } from 'typeorm';
import type { Change } from './book-attempts.js';

/**
 * The changes with what the customer is charged. Of the attempts at a request only the first that is booked as its answer claims
 * the charge, and it keeps the claim: whatever is booked of it or of others later, a request is charged at most once. Its charge
 * follows its cost as long as that is not confirmed; from then on it stands, also when the cost is corrected.
 */
export async function withCharges(manager: EntityManager, changes: readonly Change[]): Promise<Change[]> {
  const owners = await claimed(
    manager,
    changes.filter((c) => c.booking.terms.charge && !c.booking.correction),
  );
  return changes.map((change) => {
    const { booking, before } = change;
    const { terms, charge } = booking;
    const charged = booking.correction
      ? before?.chargedNanos
      : terms.charge &&
        chargedNanos(terms.charge, charge.fullNanos, charge.state !== 'free' && owners.has(terms.attemptId));
    return charged === undefined
      ? change
      : { ...change, booking: { ...booking, charge: { ...charge, chargedNanos: charged } } };
  });
}

/** Claims for those that answered, and who of all has a claim. */
async function claimed(manager: EntityManager, changes: readonly Change[]): Promise<Set<string>> {
  if (changes.length === 0) return new Set();
  const answered = changes
    .filter(({ booking }) => booking.answered && booking.charge.state !== 'free')
    .toSorted((a, b) => (claimOf(a) < claimOf(b) ? -1 : 1));
  if (answered.length > 0)
    await manager.query(
      `insert into charge_claim (org, claim, attempt_id) select * from unnest($1::text[], $2::text[], $3::text[])
       on conflict do nothing`,
      [
        answered.map((c) => c.booking.terms.attribution.org),
        answered.map((c) => c.booking.terms.charge!.claim),
        answered.map((c) => c.booking.terms.attemptId),
      ],
    );
  const rows: { attempt_id: string }[] = await manager.query(
    `select attempt_id from charge_claim where (org, claim) in (select * from unnest($1::text[], $2::text[]))`,
    [changes.map((c) => c.booking.terms.attribution.org), changes.map((c) => c.booking.terms.charge!.claim)],
  );
  return new Set(rows.map((r) => r.attempt_id));
}

/** By claim, so that two batches never wait for each other in a circle. */
function claimOf({ booking: { terms } }: Change): string {
  return `${terms.attribution.org} ${terms.charge!.claim} ${terms.attemptId}`;
}
