import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AttemptTerms, PriceVersion } from '@meritorder/contracts';
import { planIntake, type HoldReason, type PriceProposal } from '@meritorder/pricing-core';
import { testServers } from '@meritorder/testing';
import { DataSource } from 'typeorm';
import { Books1764000000000 } from './migrations/1764000000000-books.js';
import {
  attemptsRatedOtherwise,
  book,
  connectDatabase,
  corrections,
  decideHeldPrice,
  migrate,
  noteCorrection,
  noteScanned,
  openCorrections,
  priceBook,
  pricesOver,
  publishedPrices,
  relayOutbox,
  takeIntoBook,
  trialBalance,
  windowTotals,
} from './index.js';

const servers = testServers();
let db: DataSource;
let url: string;

beforeAll(async () => {
  url = (await servers.postgres()).url;
});
afterAll(async () => {
  await db?.destroy();
  await servers.stop();
});

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const card = (input: string, output: string) => ({
  inputPicosPerToken: input,
  cacheReadPicosPerToken: input,
  cacheWrite5mPicosPerToken: input,
  cacheWrite1hPicosPerToken: input,
  outputPicosPerToken: output,
  requestPicos: '0',
});
const proposal = (effectiveFrom: string, input: string, output = input): PriceProposal => ({
  backend: 'b',
  cash: card(input, output),
  full: card(input, output),
  source: 'test',
  derived: false,
  effectiveFrom,
});

it('a schema of before keeps its prices and attempts, and what they were rated at', async () => {
  const old = new DataSource({ type: 'postgres', url, migrations: [Books1764000000000], synchronize: false });
  await old.initialize();
  await old.runMigrations();
  await old.query(
    `insert into price_version (id, backend, effective_from, definition) values ('pv-old', 'b', '2025-01-01', '{}')`,
  );
  await old.query(`insert into attempt (attempt_id, request_id, org, provider, backend, state, terms, bound_cash_nanos,
      bound_full_nanos, reserved_at, deadline_at, worker)
    values ('a', 'r', 'acme', 'p', 'b', 'confirmed', '{"priceVersion": "pv-old"}', 9, 9, now(), now(), 'w')`);
  await old.query(
    `insert into attempt_settled (attempt_id, state, revision, cash_nanos, full_nanos) values ('a', 'confirmed', 1, 7, 7)`,
  );
  await old.destroy();
  expect((await migrate(url))[0]).toBe('PriceBook1764200000000');
  db = await connectDatabase(url, 'test');
  expect(await priceBook(db)).toMatchObject([{ id: 'pv-old', status: 'accepted', origin: 'config', withdrawn: false }]);
  expect(await db.query(`select price_version, marginal_nanos from attempt_settled`)).toEqual([
    { price_version: 'pv-old', marginal_nanos: '7' },
  ]);
});

describe('the book', () => {
  beforeEach(async () => {
    await db.query(`alter table ledger_entry disable trigger all`);
    await db.query(
      `truncate price_version, price_correction, attempt, attempt_settled, ledger_entry, window_spend, outbox`,
    );
    await db.query(`alter table ledger_entry enable trigger all`);
  });

  const take = (proposals: PriceProposal[], objections: HoldReason[] = [], complete = true) =>
    takeIntoBook(db, 'b', (entries) =>
      planIntake({
        book: entries,
        proposals,
        origin: 'config',
        complete,
        nowMs: Date.now(),
        judge: () => objections,
        sha256Hex,
      }),
    );
  const published = async (): Promise<PriceVersion[]> => (await publishedPrices(db)).get('b') ?? [];
  const sent = async (): Promise<string[]> => {
    const types: string[] = [];
    await relayOutbox(db, 'metering', 100, async (row) => void types.push(`${row.type} ${row.messageId}`));
    return types;
  };

  it('of a period are the versions that are in force at some time of it, and those that an operator put over them', async () => {
    const from = (month: number) => `2026-0${month}-01T00:00:00.000Z`;
    await take([1, 3, 5].map((month) => proposal(from(month), String(month))));
    await takeIntoBook(db, 'b', (entries) =>
      planIntake({
        book: entries,
        proposals: [proposal(from(4), '4')],
        origin: 'operator',
        complete: false,
        nowMs: Date.now(),
        judge: () => [],
        sha256Hex,
      }),
    );
    const over = async (first: string, last: string) =>
      (await pricesOver(db, { from: new Date(first), to: new Date(last) })).map((v) => v.cash.inputPicosPerToken);
    expect(await over(from(2), from(2))).toEqual(['1']);
    expect(await over(from(2), from(3))).toEqual(['1', '3']);
    expect(await over('2026-04-15T00:00:00.000Z', '2026-04-16T00:00:00.000Z')).toEqual(['3', '4']);
    expect(await over(from(6), from(7))).toEqual(['4', '5']);
    expect(await over('2025-01-01T00:00:00.000Z', from(1))).toEqual(['1']);
  });

  it('the same prices taken by many at once are one version, told once', async () => {
    await Promise.all([1, 2, 3, 4].map(() => take([proposal('2026-01-01T00:00:00.000Z', '5')])));
    expect(await priceBook(db)).toHaveLength(1);
    expect((await sent()).filter((s) => s.startsWith('price.version-published'))).toHaveLength(1);
  });

  it('what is no longer said is withdrawn and never forgotten; said again, it is in force again', async () => {
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    await take([proposal('2026-01-01T00:00:00.000Z', '6')]);
    expect((await published()).map((v) => v.cash.inputPicosPerToken)).toEqual(['6']);
    expect(await priceBook(db)).toHaveLength(2);
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    expect((await published()).map((v) => v.cash.inputPicosPerToken)).toEqual(['5']);
    expect(await priceBook(db)).toHaveLength(2);
  });

  it('what the guard objects to is held with its reasons, the last good version stays; confirmed, it acts and is told', async () => {
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    await sent();
    await take(
      [proposal('2026-02-01T00:00:00.000Z', '5000000')],
      [{ code: 'jump', rate: 'input', message: 'too much' }],
      false,
    );
    expect((await published()).map((v) => v.cash.inputPicosPerToken)).toEqual(['5']);
    const [held] = (await priceBook(db)).filter((e) => e.status === 'held');
    expect(held).toMatchObject({ reasons: [{ code: 'jump', message: 'too much' }] });
    expect(await sent()).toEqual([`price.version-held.v1 ${held!.id}/held`]);

    await decideHeldPrice(db, held!.id, 'accepted', 'ann');
    await decideHeldPrice(db, held!.id, 'accepted', 'ben');
    expect(await published()).toHaveLength(2);
    expect((await priceBook(db)).find((e) => e.id === held!.id)).toMatchObject({ decidedBy: 'ann' });
    expect(await sent()).toEqual([`price.version-published.v1 ${held!.id}`]);
    await expect(decideHeldPrice(db, held!.id, 'rejected', 'cy')).rejects.toThrow(/is not held: it is accepted/);
    await expect(decideHeldPrice(db, 'pv-none', 'accepted', 'cy')).rejects.toThrow(/no price version/);
  });

  const terms = (attemptId: string, priceVersion: string): AttemptTerms => ({
    attemptId,
    requestId: `r-${attemptId}`,
    attemptNumber: 1,
    attribution: { org: 'acme' },
    backend: 'b',
    provider: 'p',
    model: 'm',
    kind: 'chat',
    epoch: 1,
    bound: { cashNanos: '1000', fullNanos: '1000' },
    windows: [{ budget: 'org', window: '2026-10', basis: 'cash' }],
    priceVersion,
    reservedAt: '2026-10-15T12:00:00.000Z',
    deadlineAt: '2026-10-15T12:01:00.000Z',
  });

  it('hands over what is unconfirmed for want of a rate, after the confirmed; not what no backend told of', async () => {
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    const [first] = await published();
    const of = (attemptId: string, state: 'confirmed' | 'unconfirmed', unpriced: string[] = []) => ({
      terms: terms(attemptId, first!.id),
      worker: 'w',
      charge: { state, cashNanos: 500n, fullNanos: 500n },
      unpriced,
      cause: 'closed' as const,
      outcome: 'finished',
      usage: {
        inputTokens: 100,
        cacheReadTokens: 0,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: 0,
        outputTokens: 0,
        requests: 1,
      },
      occurredAt: '2026-10-15T12:00:30.000Z',
    });
    const tier = ['service-tier:priority'];
    await book(db, [of('m1', 'confirmed'), of('m2', 'unconfirmed', tier), of('m3', 'unconfirmed')]);
    const span = { backend: 'b', model: undefined, priceVersion: 'another', from: new Date(0), to: undefined };
    const ofTest = async (after?: string) =>
      (await attemptsRatedOtherwise(db, span, 10, after))
        .filter((a) => a.terms.attemptId.startsWith('m'))
        .map((a) => [a.terms.attemptId, a.state]);
    expect(await ofTest()).toEqual([
      ['m1', 'confirmed'],
      ['m2', 'unconfirmed'],
    ]);
    expect(await ofTest('m1')).toEqual([['m2', 'unconfirmed']]);
  });

  it('a late price adjusts by entries of the difference; what a closed window had settled never moves (pitfall 37)', async () => {
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    const [first] = await published();
    const usage = {
      inputTokens: 100,
      cacheReadTokens: 0,
      cacheWrite5mTokens: 0,
      cacheWrite1hTokens: 0,
      outputTokens: 0,
      requests: 1,
    };
    const rated = (attemptId: string, cash: bigint) => ({
      terms: terms(attemptId, first!.id),
      worker: 'w',
      charge: { state: 'confirmed' as const, cashNanos: cash, fullNanos: cash },
      cause: 'closed' as const,
      outcome: 'finished',
      usage,
      usageBasis: 'reported' as const,
      occurredAt: '2026-10-15T12:00:30.000Z',
    });
    await book(db, [rated('a', 500n), rated('billed', 400n)]);
    await book(db, [{ ...rated('billed', 450n), cause: 'invoice', correction: true }]);
    const before = await db.query(`select settled_nanos from window_spend where window_id = '2026-10'`);

    await take([proposal('2026-01-01T00:00:00.000Z', '5'), proposal('2026-10-01T00:00:00.000Z', '4')]);
    const late = (await published()).find((v) => v.cash.inputPicosPerToken === '4')!;
    expect(await openCorrections(db)).toMatchObject([
      { priceVersion: first!.id },
      { priceVersion: late.id, since: new Date('2026-10-01T00:00:00Z') },
    ]);
    const span = {
      backend: 'b',
      model: undefined,
      priceVersion: late.id,
      from: new Date('2026-10-01T00:00:00Z'),
      to: undefined,
    };
    // What the provider's own invoice said stays.
    const otherwise = await attemptsRatedOtherwise(db, span, 10);
    expect(otherwise.map((a) => a.terms.attemptId)).toEqual(['a']);
    const adjust = () =>
      book(db, [
        {
          ...rated('a', 400n),
          priceVersion: late.id,
          cause: 'price-correction',
          correction: true,
          occurredAt: '2026-11-25T09:00:00.000Z',
        },
      ]);
    expect(await adjust()).toMatchObject([{ changed: true, before: { cashNanos: 500n }, charge: { cashNanos: 400n } }]);
    expect(await attemptsRatedOtherwise(db, span, 10)).toEqual([]);
    await noteCorrection(db, late.id, 1, -100n);
    expect((await corrections(db)).find((c) => c.priceVersion === late.id)).toMatchObject({
      adjusted: 1,
      differenceNanos: '-100',
    });

    expect(await db.query(`select settled_nanos from window_spend where window_id = '2026-10'`)).toEqual(before);
    expect(await windowTotals(db, [{ budget: 'org', window: '2026-10' }])).toMatchObject([
      { settledNanos: 850n, correctedNanos: -50n },
    ]);
    const october = `select coalesce(sum(amount_nanos), 0)::int as n from ledger_entry where kind = 'usage' and occurred_at < '2026-11-01'`;
    expect((await db.query(october))[0].n).toBe(900);
    expect((await trialBalance(db)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  });

  it('a price that is said again looks again at all that was rated since it began to act', async () => {
    const said = [proposal('2026-01-01T00:00:00.000Z', '5')];
    await take(said);
    const [version] = await published();
    await noteScanned(db, version!.id);
    await take([proposal('2026-01-01T00:00:00.000Z', '6')]);
    await take(said);
    expect((await openCorrections(db)).find((c) => c.priceVersion === version!.id)).toMatchObject({
      since: new Date('2026-01-01T00:00:00Z'),
    });
  });

  it('after one look at all attempts, only young ones are looked at again', async () => {
    await take([proposal('2026-01-01T00:00:00.000Z', '5')]);
    const [version] = await published();
    await noteScanned(db, version!.id);
    const [correction] = await openCorrections(db);
    expect(Date.now() - correction!.since.getTime()).toBeLessThan(3 * 3_600_000);
  });
});
