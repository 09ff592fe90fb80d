import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptTerms, MeteringUsageRatedV1 } from '@meritorder/contracts';
import { testServers } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import {
  acquireLease,
  bookExpired,
  book,
  connectDatabase,
  keepUntold,
  migrate,
  overdueAttempts,
  rebuildSnapshot,
  reconcile,
  recordExtended,
  recordOpened,
  onOutboxCommit,
  putOutbox,
  relayOutbox,
  type OutboxRow,
  tellUntold,
  trialBalance,
  windowTotals,
  type Booking,
} from './index.js';

const servers = testServers();
let url: string;
let db: DataSource;

beforeAll(async () => {
  url = (await servers.postgres()).url;
  await expect(connectDatabase(url, 'test')).rejects.toThrow(/older schema.*meritorder migrate/);
  expect(await migrate(url)).toEqual(
    expect.arrayContaining(['Books1764000000000', 'PriceBook1764200000000', 'Budgets1764400000000']),
  );
  expect(await migrate(url)).toEqual([]);
  db = await connectDatabase(url, 'test');
});
afterAll(async () => {
  await db.destroy();
  await servers.stop();
});
beforeEach(async () => {
  // Only the owner of the tables can do this: the trigger stands for everybody.
  await db.query(`alter table ledger_entry disable trigger all`);
  await db.query(
    `truncate attempt, attempt_settled, ledger_entry, window_spend, outbox, invoice_line, untold_settlement, threshold_crossing, budget, lease`,
  );
  await db.query(`alter table ledger_entry enable trigger all`);
});

const terms = (attemptId: string, deadlineAt = '2026-11-24T10:00:30.000Z'): AttemptTerms => ({
  attemptId,
  requestId: `r-${attemptId}`,
  attemptNumber: 1,
  attribution: { org: 'acme', department: 'eng' },
  backend: 'b',
  provider: 'simco',
  model: 'm',
  kind: 'chat',
  epoch: 1,
  bound: { cashNanos: '1000', fullNanos: '1500' },
  windows: [
    { budget: 'org', window: '2026-11', basis: 'cash' },
    { budget: 'all', window: 'total', basis: 'full' },
  ],
  priceVersion: 'pv-1',
  reservedAt: '2026-11-24T10:00:00.000Z',
  deadlineAt,
});
const booking = (attemptId: string, state: Booking['charge']['state'], cash = 0n, full = cash): Booking => ({
  terms: terms(attemptId),
  worker: 'w',
  charge: { state, cashNanos: cash, fullNanos: full },
  cause: 'closed',
  outcome: 'finished',
  providerCallId: `call-${attemptId}`,
  occurredAt: '2026-11-24T10:00:01.000Z',
});
const opened = (attemptId: string) => ({ ...terms(attemptId), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' });
const totals = async () =>
  Object.fromEntries((await windowTotals(db)).map((t) => [t.budget, [t.settledNanos, t.unconfirmedNanos]]));
const stateOf = async (id: string) =>
  ((await db.query(`select state from attempt where attempt_id = $1`, [id])) as { state: string }[])[0]?.state;

async function expectBalanced(): Promise<void> {
  expect((await trialBalance(db)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
}

describe('booking', () => {
  it('a booking repeated, in the same batch or later, is booked once and answers the same', async () => {
    const twice = await book(db, [booking('a', 'confirmed', 700n, 900n), booking('a', 'confirmed', 700n, 900n)]);
    const again = await book(db, [booking('a', 'confirmed', 700n, 900n), booking('b', 'free')]);
    expect(twice).toEqual([
      {
        attemptId: 'a',
        charge: { state: 'confirmed', cashNanos: 700n, fullNanos: 900n },
        changed: true,
        bound: booking('a', 'confirmed', 700n, 900n).terms.bound,
      },
    ]);
    expect(again[0]).toMatchObject({ attemptId: 'a', charge: { cashNanos: 700n }, changed: false });
    expect(await totals()).toEqual({ org: [700n, 0n], all: [900n, 0n] });
    expect((await db.query(`select count(*)::int as n from outbox`))[0].n).toBe(2);
    await expectBalanced();
  });

  it('what a hedge that lost has cost is told from the rest, now and after its invoice, and so is whose hedge it was', async () => {
    const lost: Booking = { ...booking('a', 'unconfirmed', 1000n, 1500n), outcome: 'cancelled', code: 'hedge-lost' };
    const won = booking('b', 'confirmed', 700n);
    await book(db, [lost, { ...won, terms: { ...won.terms, requestId: 'r-a', hedgeOf: 'a' } }]);
    await book(db, [{ ...booking('a', 'confirmed', 900n), cause: 'invoice' }]);
    const rows = await db.query(`select attempt_id, code, terms ->> 'hedgeOf' as of from attempt order by attempt_id`);
    expect(rows).toEqual([
      { attempt_id: 'a', code: 'hedge-lost', of: null },
      { attempt_id: 'b', code: null, of: 'a' },
    ]);
    const events: { body: MeteringUsageRatedV1 }[] = await db.query(`select body from outbox order by id`);
    expect(
      events.map(({ body }) => [body.attemptId, body.revision, body.code, body.hedgeOf, body.change.cashNanos]),
    ).toEqual([
      ['a', 1, 'hedge-lost', undefined, '1000'],
      ['b', 1, undefined, 'a', '700'],
      ['a', 2, 'hedge-lost', undefined, '-100'],
    ]);
    await expectBalanced();
  });

  it('opened after closed changes nothing', async () => {
    await book(db, [booking('a', 'confirmed', 700n)]);
    await recordOpened(db, [opened('a')]);
    expect(await stateOf('a')).toBe('confirmed');
  });

  it('late usage replaces an unconfirmed charge by entries, never by a change', async () => {
    await recordOpened(db, [opened('a')]);
    await book(db, [booking('a', 'unconfirmed', 1000n, 1500n)]);
    expect(await totals()).toEqual({ org: [0n, 1000n], all: [0n, 1500n] });
    await book(db, [booking('a', 'confirmed', 300n, 400n)]);
    expect(await totals()).toEqual({ org: [300n, 0n], all: [400n, 0n] });
    const kinds = (await db.query(`select kind, revision from ledger_entry order by id`)).map(
      (r: any) => `${r.kind} ${r.revision}`,
    );
    expect(kinds).toEqual(['unconfirmed 1', 'unconfirmed 1', 'reversal 2', 'reversal 2', 'usage 2', 'usage 2']);
    expect(await book(db, [booking('a', 'unconfirmed', 1000n)])).toMatchObject([
      { changed: false, charge: { state: 'confirmed' } },
    ]);
    await expectBalanced();
  });

  it('the same batches from four connections at once, in different orders, are booked once', async () => {
    const connections = await Promise.all([1, 2, 3, 4].map(() => connectDatabase(url, 'test', 2)));
    const bookings = Array.from({ length: 200 }, (_, i) =>
      booking(`a${i}`, i % 7 === 0 ? 'unconfirmed' : 'confirmed', BigInt(i + 1)),
    );
    await Promise.all(
      connections.flatMap((c, i) =>
        [0, 1, 2].map((k) => book(c, bookings.toSorted(() => ((i + k) % 2 ? 1 : -1)).slice(k * 20))),
      ),
    );
    const [settled, unconfirmed] = (await totals())['org']!;
    expect(settled! + unconfirmed!).toBe((200n * 201n) / 2n);
    expect((await db.query(`select count(*)::int as n from outbox`))[0].n).toBe(200);
    await expectBalanced();
    await Promise.all(connections.map((c) => c.destroy()));
  });

  it('a crash before the commit leaves nothing, and the repetition books', async () => {
    await db.query(
      `create function crash() returns trigger language plpgsql as $$ begin raise exception 'crash'; end $$`,
    );
    await db.query(`create trigger crash before insert on outbox for each statement execute function crash()`);
    await expect(book(db, [booking('a', 'confirmed', 5n)])).rejects.toThrow(/crash/);
    expect(await totals()).toEqual({});
    await db.query(`drop trigger crash on outbox; drop function crash`);
    expect(await book(db, [booking('a', 'confirmed', 5n)])).toMatchObject([{ changed: true }]);
    await expectBalanced();
  });

  it('window totals equal the charges in force', async () => {
    await book(db, [
      booking('a', 'confirmed', 10n),
      booking('b', 'unconfirmed', 20n),
      booking('c', 'free'),
      booking('d', 'unconfirmed', 40n),
    ]);
    await book(db, [booking('b', 'confirmed', 7n), booking('d', 'free')]);
    const [row] = await db.query(
      `select sum(cash_nanos) filter (where state = 'confirmed') as c, coalesce(sum(cash_nanos) filter (where state = 'unconfirmed'), 0) as u from attempt_settled`,
    );
    expect((await totals())['org']).toEqual([BigInt(row.c), BigInt(row.u)]);
  });
});

describe('the hold of a governed attempt', () => {
  const governed = (id: string, cash: number, full = cash): AttemptTerms => ({
    ...terms(id),
    bound: { cashNanos: String(cash), fullNanos: String(full) },
    governed: { heldTokens: cash, maxTokens: 9_000, sliceTokens: 100 },
  });
  const extend = (...holds: AttemptTerms[]) =>
    recordExtended(
      db,
      holds.map((t) => ({ terms: t, worker: 'w' })),
    );
  const unconfirmed = (id: string, cash: number): Booking => ({
    ...booking(id, 'unconfirmed', BigInt(cash), BigInt(cash)),
    terms: governed(id, cash),
  });
  const held = async (): Promise<unknown> =>
    (await rebuildSnapshot(db)).attempts.map((a) => [a.attemptId, a.state, a.boundCashNanos, a.boundFullNanos]);

  it('is what it grew to, whatever comes twice or late, or before the opening', async () => {
    await recordOpened(db, [{ ...governed('a', 1_000, 1_500), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' }]);
    await extend(governed('a', 3_000, 3_500), governed('a', 2_000, 2_500), governed('b', 2_000));
    await extend(governed('a', 2_000, 2_500));
    await recordOpened(db, [{ ...governed('b', 1_000), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' }]);
    expect(await held()).toEqual([
      ['a', 'opened', 3_000n, 3_500n],
      ['b', 'opened', 2_000n, 2_000n],
    ]);
    const [overdue] = await overdueAttempts(db, 0, 1);
    expect(overdue!.terms.bound).toEqual({ cashNanos: '3000', fullNanos: '3500' });
  });

  it('is the unconfirmed charge, also of what the worker never heard was held', async () => {
    await extend(governed('a', 3_000));
    expect(await book(db, [unconfirmed('a', 2_000)])).toMatchObject([{ charge: { cashNanos: 3_000n } }]);
    expect(await totals()).toEqual({ org: [0n, 3_000n], all: [0n, 3_000n] });
    await expectBalanced();
  });

  it('is what the worker closed it with, also where the extension comes later', async () => {
    await recordOpened(db, [{ ...governed('a', 1_000), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' }]);
    await book(db, [unconfirmed('a', 3_000)]);
    await extend(governed('a', 3_000), governed('a', 4_000));
    expect(await held()).toEqual([['a', 'unconfirmed', 3_000n, 3_000n]]);
    expect(await totals()).toEqual({ org: [0n, 3_000n], all: [0n, 3_000n] });
  });

  it('does not touch a confirmed charge', async () => {
    await extend(governed('a', 3_000));
    await book(db, [{ ...booking('a', 'confirmed', 700n), terms: governed('a', 2_000) }]);
    expect(await totals()).toEqual({ org: [700n, 0n], all: [700n, 0n] });
  });
});

describe('reconciling', () => {
  const line = (attemptId: string | null, callId: string, nanoUsd: string) => ({
    callId,
    clientRequestId: attemptId,
    nanoUsd,
    startedAt: '2026-11-24T10:00:00.000Z',
  });
  const period = { from: '2026-11-24T00:00:00.000Z', to: '2026-11-25T00:00:00.000Z' };

  it('confirms what was unconfirmed or open, releases what was not billed, lists what differs; twice is once', async () => {
    await recordOpened(db, ['open', 'unsure', 'unbilled'].map(opened));
    await book(db, [
      booking('unsure', 'unconfirmed', 1000n, 1500n),
      booking('unbilled', 'unconfirmed', 1000n, 1500n),
      booking('same', 'confirmed', 50n),
      booking('other', 'confirmed', 60n),
      booking('free', 'free'),
    ]);
    const request = {
      provider: 'simco',
      invoiceId: 'i1',
      lines: [
        line('open', 'c1', '11'),
        line('unsure', 'c2', '1200'),
        line(null, 'call-same', '50'),
        line('other', 'c4', '61'),
        line('free', 'c5', '3'),
        line('strange', 'c6', '9'),
      ],
      complete: period,
    };
    const { report, settlements } = await reconcile(db, request);
    expect(report).toEqual({
      linesMatched: 5,
      confirmedByInvoice: 3,
      releasedWithoutLine: 1,
      aboveBound: [{ attemptId: 'unsure', boundNanos: '1000', invoiceNanos: '1200' }],
      differences: [{ attemptId: 'other', ledgerNanos: '60', invoiceNanos: '61' }],
      confirmedDifferenceNanos: '-1',
      unmatchedLines: [{ callId: 'c6', clientRequestId: 'strange', nanoUsd: '9' }],
      totals: {
        ledgerNanos: String(11 + 1200 + 50 + 60 + 3),
        invoiceNanos: String(11 + 1200 + 50 + 61 + 3 + 9),
        unconfirmed: 0,
      },
    });
    expect(settlements.map((s) => `${s.attemptId} ${s.charge.state} ${s.charge.cashNanos}`).sort()).toEqual([
      'free confirmed 3',
      'open confirmed 11',
      'unbilled free 0',
      'unsure confirmed 1200',
    ]);
    const again = await reconcile(db, request);
    expect(again.report).toMatchObject({ confirmedByInvoice: 0, releasedWithoutLine: 0, totals: report.totals });
    await expectBalanced();
  });

  it('what was only estimated is corrected to the line, once, and the difference is counted apart', async () => {
    await book(db, [{ ...booking('guessed', 'confirmed', 70n, 90n), usageBasis: 'estimated' }]);
    const request = { provider: 'simco', invoiceId: 'i3', lines: [line('guessed', 'c1', '64')] };
    const { report, settlements } = await reconcile(db, request);
    expect(report).toMatchObject({ confirmedByInvoice: 1, differences: [], confirmedDifferenceNanos: '0' });
    expect(settlements).toMatchObject([{ changed: true, charge: { cashNanos: 64n, fullNanos: 84n } }]);
    expect((await reconcile(db, request)).report).toMatchObject({ confirmedByInvoice: 0, differences: [] });
    const [window] = await windowTotals(db, [{ budget: 'org', window: '2026-11' }]);
    expect(window).toMatchObject({ settledNanos: 64n, correctedNanos: -6n });
    expect((await db.query(`select kind, amount_nanos from ledger_entry order by id`)).at(-1)).toEqual({
      kind: 'adjustment',
      amount_nanos: '6',
    });
    await expectBalanced();
  });

  it('a confirmed attempt that a complete invoice does not charge for is listed as a difference, not changed', async () => {
    await book(db, [booking('billed', 'confirmed', 50n), booking('unbilled', 'confirmed', 7n)]);
    const { report, settlements } = await reconcile(db, {
      provider: 'simco',
      invoiceId: 'i3',
      lines: [line('billed', 'c1', '50')],
      complete: { from: '2026-11-24T00:00:00.000Z', to: '2999-01-01T00:00:00.000Z' },
    });
    expect(report).toMatchObject({
      differences: [{ attemptId: 'unbilled', ledgerNanos: '7', invoiceNanos: '0' }],
      confirmedDifferenceNanos: '7',
      totals: { ledgerNanos: '57', invoiceNanos: '50' },
    });
    expect(settlements.filter((s) => s.changed)).toEqual([]);
  });

  it('an attempt belongs to the period of its line, although it was reserved a moment before', async () => {
    await book(db, [booking('early', 'confirmed', 50n)]);
    const { report } = await reconcile(db, {
      provider: 'simco',
      invoiceId: 'i2',
      lines: [{ ...line('early', 'c1', '50'), startedAt: '2026-11-24T10:00:00.010Z' }],
      complete: { from: '2026-11-24T10:00:00.010Z', to: '2026-11-24T11:00:00.000Z' },
    });
    expect(report.totals).toEqual({ ledgerNanos: '50', invoiceNanos: '50', unconfirmed: 0 });
  });
});

it('the snapshot for a rebuild has totals, and every attempt that is opened or unconfirmed', async () => {
  await recordOpened(db, [opened('open'), opened('done')]);
  await book(db, [booking('done', 'confirmed', 10n), booking('unsure', 'unconfirmed', 1000n, 1500n)]);
  const { windows, attempts } = await rebuildSnapshot(db);
  expect(windows).toContainEqual({
    budget: 'org',
    window: '2026-11',
    template: null,
    values: null,
    settledNanos: 10n,
    unconfirmedNanos: 1000n,
    correctedNanos: 0n,
  });
  expect(attempts.map((a) => `${a.attemptId} ${a.state} ${a.boundCashNanos}`).sort()).toEqual([
    'open opened 1000',
    'unsure unconfirmed 1000',
  ]);
});

it('an expired hold is booked as free, whether its record came before or comes after; what was charged stays', async () => {
  await recordOpened(db, [opened('before')]);
  await book(db, [booking('charged', 'confirmed', 9n)]);
  await bookExpired(db, ['before', 'after', 'charged']);
  await bookExpired(db, ['before', 'after', 'charged']);
  await recordOpened(db, [opened('after')]);
  expect(await Promise.all(['before', 'after', 'charged'].map(stateOf))).toEqual(['free', 'free', 'confirmed']);
  expect((await rebuildSnapshot(db)).attempts).toEqual([]);
  expect(await book(db, [booking('after', 'unconfirmed', 1000n)])).toMatchObject([
    { changed: false, charge: { state: 'free' } },
  ]);
});

it('an attempt is overdue after its deadline and the grace', async () => {
  await recordOpened(db, [{ ...opened('late'), deadlineAt: new Date(Date.now() - 5_000).toISOString() }]);
  expect(await overdueAttempts(db, 60_000, 10)).toEqual([]);
  expect((await overdueAttempts(db, 1_000, 10)).map((a) => a.terms.attemptId)).toEqual(['late']);
});

it('what the counters could not be told is kept until they were', async () => {
  const settlement = (state: 'confirmed' | 'unconfirmed', cash: bigint) => ({
    attemptId: 'a',
    charge: { state, cashNanos: cash, fullNanos: cash },
    changed: true,
  });
  await keepUntold(db, [settlement('unconfirmed', 9n)]);
  await keepUntold(db, [settlement('confirmed', 4n)]);
  expect(await tellUntold(db, 10, async (all) => all)).toBe(0);
  const told: unknown[] = [];
  expect(await tellUntold(db, 10, async (all) => (told.push(...all), []))).toBe(1);
  expect(told).toMatchObject([{ attemptId: 'a', charge: { state: 'confirmed', cashNanos: 4n } }]);
  expect(await tellUntold(db, 10, async (all) => all)).toBe(0);
});

describe('the outbox', () => {
  it('forgets what was published and keeps what was not', async () => {
    await book(db, [booking('a', 'confirmed', 1n), booking('b', 'confirmed', 2n)]);
    const seen: string[] = [];
    await expect(relayOutbox(db, 'metering', 10, () => Promise.reject(new Error('NATS is away')))).rejects.toThrow(
      /away/,
    );
    expect(
      await relayOutbox(db, 'metering', 10, async (row) => {
        if (row.messageId.startsWith('a')) throw new Error('x');
        seen.push(row.messageId);
      }),
    ).toBe(1);
    expect(await relayOutbox(db, 'metering', 10, async (row) => void seen.push(row.messageId))).toBe(1);
    expect(seen).toEqual(['b/r1', 'a/r1']);
    expect(await relayOutbox(db, 'budget-policy', 10, async () => {})).toBe(0);
  });

  it('who relays is woken when a transaction that put something there is committed, and only then', async () => {
    let woken = 0;
    onOutboxCommit(db, 'metering', () => void woken++);
    onOutboxCommit(db, 'budget-policy', () => void expect.fail('it is of others'));
    const row = (messageId: string): OutboxRow => ({
      type: 'metering.usage-rated.v1',
      subject: 'metering.usage-rated.v1.acme',
      messageId,
      body: {},
      occurredAt: new Date().toISOString(),
    });
    await db.transaction(async (manager) => {
      await putOutbox(manager, 'metering', [row('one')]);
      expect(woken).toBe(0);
    });
    expect(woken).toBe(1);
    await db.transaction((manager) => manager.query('select 1'));
    const undone = db.transaction(async (manager) => {
      await putOutbox(manager, 'metering', [row('two')]);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(woken).toBe(1);
    await putOutbox(db.manager, 'metering', [row('three')]);
    expect(woken).toBe(2);
    const seen: string[] = [];
    await relayOutbox(db, 'metering', 10, async (published) => void seen.push(published.messageId));
    expect(seen).toEqual(['one', 'three']);
  });
});

it('a lease has one holder; the fence rises when it changes', async () => {
  const first = await acquireLease(db, 'epoch', 'a', 60_000);
  expect(await acquireLease(db, 'epoch', 'b', 60_000)).toBeUndefined();
  expect(await acquireLease(db, 'epoch', 'a', 1)).toEqual(first);
  await new Promise((r) => setTimeout(r, 20));
  expect((await acquireLease(db, 'epoch', 'b', 60_000))!.fence).toBe(first!.fence + 1n);
});
