import type { AttemptTerms } from '@meritorder/contracts';
import { testServers } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { book, connectDatabase, migrate, reconcile, trialBalance, type Booking } from './index.js';

const servers = testServers();
let db: DataSource;

beforeAll(async () => {
  const { url } = await servers.postgres();
  await migrate(url);
  db = await connectDatabase(url, 'test');
});
afterAll(async () => {
  await db.destroy();
  await servers.stop();
});

const RULE = { markup: '1.5', usdPerRequest: '0.000000010' };
const terms = (attemptId: string, claim: string): AttemptTerms => ({
  attemptId,
  requestId: `r-${claim}`,
  attemptNumber: 1,
  attribution: { org: 'acme', customer: claim, tier: 'gold' },
  backend: 'b',
  provider: 'simco',
  model: 'm',
  kind: 'chat',
  epoch: 1,
  bound: { cashNanos: '1000', fullNanos: '1000' },
  windows: [],
  priceVersion: 'pv-1',
  reservedAt: '2026-11-24T10:00:00.000Z',
  deadlineAt: '2026-11-24T10:00:30.000Z',
  charge: { ...RULE, claim },
});
const booking = (attemptId: string, claim: string, more: Partial<Booking> & Pick<Booking, 'charge'>): Booking => ({
  terms: terms(attemptId, claim),
  worker: 'w',
  cause: 'closed',
  outcome: 'finished',
  answered: true,
  occurredAt: '2026-11-24T10:00:01.000Z',
  ...more,
});
const confirmed = (nanos: bigint) => ({ state: 'confirmed' as const, cashNanos: nanos, fullNanos: nanos });
const unconfirmed = { state: 'unconfirmed' as const, cashNanos: 1000n, fullNanos: 1000n };

/** What the three places say: the guard row, the ledger's accounts of the customer, and the events, summed and last. */
async function chargedOf(claim: string): Promise<{ guard: bigint; ledger: bigint; changes: bigint; last: bigint }> {
  const [row]: { guard: string }[] = await db.query(
    `select coalesce(sum(s.charged_nanos), 0)::text as guard from attempt_settled s join attempt a using (attempt_id)
     where a.terms -> 'charge' ->> 'claim' = $1`,
    [claim],
  );
  const owed = (await trialBalance(db)).filter((a) => a.account.endsWith(`receivable:acme:${claim}`));
  const events: { attempt: string; charged: string; change: string }[] = await db.query(
    `select body ->> 'attemptId' as attempt, body ->> 'chargedNanos' as charged, body ->> 'chargedChangeNanos' as change
     from outbox where body ->> 'requestId' = $1 order by outbox.id`,
    [`r-${claim}`],
  );
  const last = new Map(events.map((e) => [e.attempt, BigInt(e.charged)]));
  return {
    guard: BigInt(row!.guard),
    ledger: owed.reduce((sum, a) => sum + a.balanceNanos, 0n),
    changes: events.reduce((sum, e) => sum + BigInt(e.change), 0n),
    last: [...last.values()].reduce((sum, nanos) => sum + nanos, 0n),
  };
}
const everywhere = (nanos: bigint) => ({ guard: nanos, ledger: nanos, changes: nanos, last: nanos });

describe('a customer is charged', () => {
  it('for the attempt that answered, once, and for none that failed', async () => {
    const failed = booking('a-1', 'a', { charge: confirmed(400n), outcome: 'failed', answered: false });
    const answered = booking('a-2', 'a', { charge: confirmed(100n) });
    await book(db, [failed, answered]);
    await book(db, [answered, failed]);
    expect(await chargedOf('a')).toEqual(everywhere(160n));
  });

  it('once where two attempts answered: in one batch, one after the other, and at the same time', async () => {
    const both = [booking('b-1', 'b', { charge: confirmed(100n) }), booking('b-2', 'b', { charge: confirmed(300n) })];
    await book(db, both);
    expect(await chargedOf('b')).toEqual(everywhere(160n));
    await book(db, [booking('b-3', 'b', { charge: confirmed(500n) })]);
    expect(await chargedOf('b')).toEqual(everywhere(160n));
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => book(db, [booking(`c-${i}`, 'c', { charge: confirmed(100n) })])),
    );
    expect(await chargedOf('c')).toEqual(everywhere(160n));
  });

  it('at the bound while the cost is not confirmed, and by the invoice once it came', async () => {
    await book(db, [booking('d-1', 'd', { charge: unconfirmed, outcome: 'cancelled' })]);
    expect(await chargedOf('d')).toEqual(everywhere(1_510n));
    const line = { callId: 'call-d', clientRequestId: 'd-1', nanoUsd: '200', startedAt: '2026-11-24T10:00:00.500Z' };
    const invoice = { provider: 'simco', invoiceId: 'i', lines: [line] };
    await reconcile(db, invoice);
    await reconcile(db, invoice);
    expect(await chargedOf('d')).toEqual(everywhere(310n));
  });

  it('nothing once the provider turned out to have charged nothing', async () => {
    await book(db, [booking('e-1', 'e', { charge: unconfirmed, outcome: 'cancelled' })]);
    await book(db, [
      booking('e-1', 'e', { charge: { state: 'free', cashNanos: 0n, fullNanos: 0n }, cause: 'invoice' }),
    ]);
    expect(await chargedOf('e')).toEqual(everywhere(0n));
  });

  it('as was confirmed, whatever a later price makes of the cost', async () => {
    await book(db, [booking('f-1', 'f', { charge: confirmed(100n) })]);
    const [corrected] = await book(db, [
      booking('f-1', 'f', { charge: confirmed(700n), cause: 'price-correction', correction: true }),
    ]);
    expect(corrected).toMatchObject({ changed: true, charge: { fullNanos: 700n, chargedNanos: 160n } });
    expect(await chargedOf('f')).toEqual(everywhere(160n));
  });

  it('for usage that came after its attempt was given up, if nothing else answered meanwhile', async () => {
    const givenUp = (id: string, claim: string) =>
      booking(id, claim, { charge: unconfirmed, cause: 'timed-out', outcome: 'failed', answered: undefined });
    await book(db, [givenUp('g-1', 'g'), givenUp('h-1', 'h')]);
    expect(await chargedOf('g')).toEqual(everywhere(0n));
    await book(db, [booking('h-2', 'h', { charge: confirmed(10n) })]);
    await book(db, [
      booking('g-1', 'g', { charge: confirmed(100n) }),
      booking('h-1', 'h', { charge: confirmed(100n) }),
    ]);
    expect(await chargedOf('g')).toEqual(everywhere(160n));
    expect(await chargedOf('h')).toEqual(everywhere(25n));
  });

  it('and the ledger balances', async () => {
    expect((await trialBalance(db)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
    const revenue = (await trialBalance(db)).find((a) => a.account === 'revenue:acme:gold');
    expect(revenue!.balanceNanos).toBe(-(160n * 4n + 310n + 160n + 25n));
  });
});
