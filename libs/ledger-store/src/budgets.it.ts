import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptTerms, BudgetDefinition, PolicyStageChangedV1, WindowCharge } from '@meritorder/contracts';
import { testServers } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import {
  actingStates,
  book,
  budgetIdsInForce,
  budgetStates,
  carryOf,
  changeBudgets,
  connectDatabase,
  correctWindowTotals,
  definitionsSince,
  hasOpenAttempts,
  instanceOf,
  instanceTotals,
  listBudgets,
  migrate,
  recordCarry,
  recordCrossings,
  recordOpened,
  recordStates,
  relayOutbox,
  selectorShapes,
  spentBefore,
  storedBudgets,
  windowTotals,
  type Booking,
  type BudgetState,
  type BudgetWrite,
  type StateRules,
} from './index.js';

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
beforeEach(async () => {
  for (const table of ['ledger_entry', 'budget_change', 'budget_transition', 'carry_over'])
    await db.query(`alter table ${table} disable trigger all`);
  await db.query(
    `truncate attempt, attempt_settled, ledger_entry, window_spend, outbox, threshold_crossing, budget, budget_change, budget_state,
       budget_transition, carry_over, drift`,
  );
  for (const table of ['ledger_entry', 'budget_change', 'budget_transition', 'carry_over'])
    await db.query(`alter table ${table} enable trigger all`);
});

const definition = (more: Partial<BudgetDefinition> = {}): BudgetDefinition => ({
  id: 'org',
  name: 'Org',
  selector: { org: 'acme' },
  window: 'month',
  timeZone: 'UTC',
  limitNanos: '1000',
  limitVersion: 1,
  basis: 'cash',
  thresholds: [0.5],
  ...more,
});
const write = (more: Partial<BudgetDefinition> = {}, retired = false): BudgetWrite => ({
  definition: definition(more),
  retired,
  origin: 'config',
  configured: null,
  armed: { terms: 1, limit: 1, instances: {} },
  changedBy: null,
});
const put = (...writes: BudgetWrite[]) => changeBudgets(db, 'all', () => writes);

const MONTH: WindowCharge = { budget: 'org', window: '2026-11', basis: 'cash' };
const terms = (attemptId: string, windows: WindowCharge[]): AttemptTerms => ({
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
  windows,
  priceVersion: 'pv-1',
  reservedAt: '2026-11-24T10:00:00.000Z',
  deadlineAt: '2026-11-24T10:00:30.000Z',
});
const booking = (attemptId: string, cash: bigint, windows = [MONTH], more: Partial<Booking> = {}): Booking => ({
  terms: terms(attemptId, windows),
  worker: 'w',
  charge: { state: 'confirmed', cashNanos: cash, fullNanos: cash * 2n },
  cause: 'closed',
  outcome: 'finished',
  occurredAt: '2026-11-24T10:00:01.000Z',
  ...more,
});

describe('what was spent before an instant', () => {
  const at = (id: string, reservedAt: string, cash: bigint, window: WindowCharge, more: Partial<Booking> = {}) =>
    booking(id, cash, [window], { terms: { ...terms(id, [window]), reservedAt }, ...more });
  const of = (customer: string): WindowCharge => ({
    ...MONTH,
    budget: `each--${customer}`,
    basis: 'full',
    template: 'each',
    values: { customer },
  });
  const NOON = '2026-11-24T12:00:00.000Z';
  const MONTHS = ['org', 'each'].map((budget) => ({ budget, window: '2026-11', endMs: Date.UTC(2026, 11) }));

  it('is that of attempts reserved before it, unconfirmed ones too, by window and basis', async () => {
    await book(db, [
      at('a1', '2026-11-24T11:00:00.000Z', 100n, MONTH),
      at('a2', '2026-11-24T11:59:59.999Z', 10n, MONTH, {
        charge: { state: 'unconfirmed', cashNanos: 10n, fullNanos: 10n },
        outcome: 'failed',
      }),
      at('a3', NOON, 1n, MONTH),
      at('a4', '2026-11-24T13:00:00.000Z', 2n, MONTH, {
        charge: { state: 'unconfirmed', cashNanos: 2n, fullNanos: 2n },
        outcome: 'failed',
      }),
      at('b1', '2026-11-24T11:00:00.000Z', 7n, of('ann')),
      at('b2', '2026-11-24T13:00:00.000Z', 7n, of('ann')),
      // Of these nothing was spent before it, or in another window.
      at('c1', '2026-11-24T13:00:00.000Z', 5n, of('bob')),
      at('d1', '2026-10-24T11:00:00.000Z', 5n, { ...MONTH, window: '2026-10' }),
      // What is decided in it may be reserved as it ends; and what comes long after is of other windows.
      at('e1', '2026-12-01T00:00:00.010Z', 3n, MONTH),
      at('f1', '2026-12-24T11:00:00.000Z', 5n, { ...MONTH, window: '2026-12' }),
    ]);
    const org = { budget: 'org', window: '2026-11', nanos: 110n };
    const ann = { budget: 'each--ann', window: '2026-11', nanos: 14n };
    expect(await spentBefore(db, MONTHS, new Date(NOON), 10)).toEqual({ spent: [org, ann], leftOut: 0 });
    expect(await spentBefore(db, MONTHS, new Date(NOON), 1)).toEqual({ spent: [org], leftOut: 1 });
    expect(await spentBefore(db, [], new Date(NOON), 10)).toEqual({ spent: [], leftOut: 0 });
    const endless = [...MONTHS, { budget: 'all', window: 'total', endMs: null }];
    expect(await spentBefore(db, endless, new Date(NOON), 10)).toEqual({ spent: [org, ann], leftOut: 0 });
  });
});

describe('budgets in force', () => {
  it('are changed one after the other, and every version is kept', async () => {
    await Promise.all(
      [1, 2, 3, 4].map(() =>
        changeBudgets(db, { id: 'org' }, (stored) => [
          write({ limitVersion: (stored.get('org')?.definition.limitVersion ?? 0) + 1 }),
        ]),
      ),
    );
    expect((await storedBudgets(db, ['org'])).get('org')).toMatchObject({
      definition: { limitVersion: 4 },
      origin: 'config',
    });
    const all = await definitionsSince(db, 'org', null);
    expect(all.map((d) => d.definition.limitVersion)).toEqual([1, 2, 3, 4]);
    const since = await definitionsSince(db, 'org', all[2]!.recordedAtMs + 1);
    expect(since[0]!.definition.limitVersion).toBeGreaterThanOrEqual(3);
    await expect(db.query(`delete from budget_change`)).rejects.toThrow(/append-only/);
  });

  it('a change that is refused changes nothing', async () => {
    await put(write());
    await expect(
      changeBudgets(db, 'all', () => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await budgetIdsInForce(db)).toEqual(['org']);
  });

  it('are listed in pages, by org or all, without those that are retired', async () => {
    await put(
      write({ id: 'a' }),
      write({ id: 'b', selector: { org: 'globex' } }),
      write({ id: 'c' }),
      write({ id: 'd' }, true),
    );
    const ids = async (of: Parameters<typeof listBudgets>[1]) =>
      (await listBudgets(db, of)).map((s) => s.definition.id);
    expect(await ids({ limit: 2 })).toEqual(['a', 'b']);
    expect(await ids({ limit: 2, after: 'b' })).toEqual(['c']);
    expect(await ids({ limit: 9, org: 'acme' })).toEqual(['a', 'c']);
  });
});

it('the sets of attributes that budgets of an org select by are told once each', async () => {
  await put(
    write({ id: 'a', selector: { team: 'x', org: 'acme' } }),
    write({ id: 'b', selector: { org: 'acme', team: 'y' } }),
    write({ id: 'c', selector: { org: 'acme' }, per: ['team'] }),
    write({ id: 'd', selector: { org: 'acme', user: 'u' } }, true),
    write({ id: 'e', selector: { provider: 'p' } }),
  );
  expect(await selectorShapes(db, 'acme', 'none')).toEqual(['org team']);
  expect(await selectorShapes(db, undefined, 'none')).toEqual(['provider']);
  expect(await selectorShapes(db, undefined, 'e')).toEqual([]);
});

it('an instance of a template is named in its totals', async () => {
  const values = { customer: 'big' };
  const charge = (id: string, customer: string): WindowCharge => ({
    budget: id,
    window: '2026-11',
    basis: 'cash',
    template: 'each',
    values: { customer },
  });
  await book(db, [booking('a', 5n, [charge('each--1', 'big')]), booking('b', 9n, [charge('each--2', 'small')])]);
  await book(db, [booking('c', 5n, [charge('each--1', 'big')])]);
  expect(await windowTotals(db, [{ budget: 'each--1', window: '2026-11' }])).toMatchObject([
    { template: 'each', values, settledNanos: 10n },
  ]);
  expect(await instanceOf(db, 'each--1')).toEqual({ template: 'each', values });
  expect((await instanceTotals(db, 'each', '2026-11', 1)).map((t) => t.budget)).toEqual(['each--1']);
});

it('a crossing has one event, whoever decides it how often', async () => {
  const event = {
    budget: 'org',
    budgetName: 'Org',
    org: 'acme',
    window: '2026-11',
    windowStart: null,
    windowEnd: null,
    timeZone: 'UTC',
    basis: 'cash' as const,
    threshold: 0.5,
    limitVersion: 1,
    limitNanos: '10',
    settledNanos: '5',
    unconfirmedNanos: '0',
    spentUsd: '0.000000005',
    limitUsd: '0.00000001',
    selector: { org: 'acme' },
    crossedAt: '2026-11-24T10:00:00.000Z',
  };
  const counts = await Promise.all([1, 2, 3, 4].map(() => recordCrossings(db, [event, { ...event, threshold: 0.8 }])));
  expect(counts.reduce((a, b) => a + b, 0)).toBe(2);
  expect(await recordCrossings(db, [{ ...event, limitVersion: 2 }])).toBe(1);
  expect(await published()).toEqual(['org/2026-11/0.5/v1', 'org/2026-11/0.8/v1', 'org/2026-11/0.5/v2']);
});

async function published(): Promise<string[]> {
  const ids: string[] = [];
  await relayOutbox(db, 'budget-policy', 100, async (row) => void ids.push(row.messageId));
  return ids;
}

describe('the state of a budget', () => {
  const subject = { budget: 'org', template: null, values: null };

  /** Rejects from 1,000 on. */
  const rules: StateRules = {
    windowOf: () => '2026-11',
    decide(of, _stored, known, total) {
      const stage = (total?.settledNanos ?? 0n) >= 1_000n ? 'reject' : 'none';
      if (stage === (known?.stage ?? 'none')) return undefined;
      const sequence = (known?.sequence ?? 0) + 1;
      const state: BudgetState = {
        ...of,
        window: '2026-11',
        limitVersion: 1,
        limitNanos: 1_000n,
        spentNanos: total?.settledNanos ?? 0n,
        stage,
        at: stage === 'reject' ? 1 : null,
        requestsPerMinute: null,
        exhausted: false,
        sequence,
      };
      const event = {
        budget: of.budget,
        org: 'acme',
        window: '2026-11',
        limitVersion: 1,
        limitNanos: '1000',
        settledNanos: String(total?.settledNanos ?? 0n),
        unconfirmedNanos: '0',
        sequence,
        from: known?.stage ?? 'none',
        to: stage,
        why: 'spend',
        changedAt: '2026-11-24T10:00:00.000Z',
      } as unknown as PolicyStageChangedV1;
      return { state, transitions: [{ kind: 'stage', event }] };
    },
  };

  it('changes once and is told once, however many decide it at the same time', async () => {
    await put(write());
    await book(db, [booking('a', 1_000n)]);
    const told = await Promise.all(Array.from({ length: 8 }, () => recordStates(db, [subject], rules)));
    expect(told.flat()).toHaveLength(1);
    expect((await budgetStates(db, ['org'])).get('org')).toMatchObject({ stage: 'reject', sequence: 1 });
    expect(await actingStates(db)).toMatchObject([{ budget: 'org', window: '2026-11' }]);
    expect((await published()).filter((id) => id.startsWith('org/stage/'))).toEqual(['org/stage/1']);
  });

  it('that changed and changed back has a transition for each, in order', async () => {
    await put(write());
    await book(db, [booking('a', 1_000n)]);
    await recordStates(db, [subject], rules);
    await db.query(`update window_spend set settled_nanos = 10`);
    const relaxed = await Promise.all(Array.from({ length: 8 }, () => recordStates(db, [subject], rules)));
    expect(relaxed.flat()).toMatchObject([{ event: { from: 'reject', to: 'none', sequence: 2 } }]);
    expect((await published()).filter((id) => id.startsWith('org/stage/'))).toEqual(['org/stage/1', 'org/stage/2']);
    expect(await actingStates(db)).toEqual([]);
  });

  it('of a budget that nobody knows is not decided', async () => {
    expect(await recordStates(db, [{ ...subject, budget: 'unknown' }], rules)).toEqual([]);
  });
});

describe('window totals against the ledger (pitfall 29)', () => {
  const windows = [
    { budget: 'org', window: '2026-11' },
    { budget: 'all', window: 'total' },
  ];
  const both: WindowCharge[] = [MONTH, { budget: 'all', window: 'total', basis: 'full' }];
  beforeEach(async () => {
    await recordOpened(db, [{ ...terms('open', both), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' }]);
    await book(db, [
      booking('a', 700n, both),
      booking('b', 50n, both),
      booking('u', 100n, both, { charge: { state: 'unconfirmed', cashNanos: 100n, fullNanos: 150n } }),
    ]);
    await book(db, [booking('b', 60n, both, { cause: 'price-correction', correction: true })]);
    await book(db, [booking('u', 30n, both, { cause: 'invoice' })]);
    await book(db, [booking('v', 100n, both, { charge: { state: 'unconfirmed', cashNanos: 100n, fullNanos: 150n } })]);
  });
  const totals = async () => (await windowTotals(db)).map((t) => [t.budget, t.settledNanos, t.unconfirmedNanos]);

  it('agree after corrections, confirmations and with what is open', async () => {
    expect(await correctWindowTotals(db, windows, null)).toEqual([]);
    expect(await totals()).toEqual([
      ['all', 1_580n, 150n],
      ['org', 790n, 100n],
    ]);
  });

  it('a mismatch is found, corrected by the difference, and kept on record', async () => {
    await db.query(`update window_spend set settled_nanos = settled_nanos - 300 where budget = 'org'`);
    await db.query(`delete from window_spend where budget = 'all'`);
    expect(await correctWindowTotals(db, windows, Date.parse('2026-11-24T00:00:00Z'))).toEqual([
      { budget: 'all', window: 'total', settledNanos: 1_580n, unconfirmedNanos: 150n },
      { budget: 'org', window: '2026-11', settledNanos: 300n, unconfirmedNanos: 0n },
    ]);
    expect(await totals()).toEqual([
      ['all', 1_580n, 150n],
      ['org', 790n, 100n],
    ]);
    expect(await correctWindowTotals(db, windows, null)).toEqual([]);
    expect(await db.query(`select kind, remedy from drift`)).toEqual([
      { kind: 'window', remedy: 'corrected' },
      { kind: 'window', remedy: 'corrected' },
    ]);
  });

  it('is no mismatch while others book', async () => {
    const booked = Promise.all(Array.from({ length: 40 }, (_, i) => book(db, [booking(`c${i}`, 5n, both)])));
    const found = [];
    for (let i = 0; i < 10; i++) found.push(...(await correctWindowTotals(db, windows, null)));
    await booked;
    expect(found).toEqual([]);
    expect(await correctWindowTotals(db, windows, null)).toEqual([]);
  });
});

it('what is carried over is recorded once for each revision, and the newest is in force', async () => {
  const carry = {
    budget: 'org',
    window: '2026-11',
    revision: 1,
    fromWindow: '2026-10',
    nanos: 300n,
    limitNanos: 1_000n,
    spentNanos: 700n,
  };
  const written = await Promise.all([1, 2, 3].map(() => recordCarry(db, carry)));
  expect(written.filter(Boolean)).toHaveLength(1);
  await recordCarry(db, { ...carry, revision: 2, nanos: 350n });
  expect(await carryOf(db, 'org', '2026-11')).toEqual({ ...carry, revision: 2, nanos: 350n });
  await expect(db.query(`update carry_over set nanos = 0`)).rejects.toThrow(/append-only/);
});

it('a window is in use as long as an attempt of it is open', async () => {
  await recordOpened(db, [{ ...terms('open', [MONTH]), worker: 'w', openedAt: '2026-11-24T10:00:00.000Z' }]);
  expect(await hasOpenAttempts(db, 'org', '2026-11')).toBe(true);
  expect(await hasOpenAttempts(db, 'org', '2026-10')).toBe(false);
  await book(db, [booking('open', 5n)]);
  expect(await hasOpenAttempts(db, 'org', '2026-11')).toBe(false);
});
