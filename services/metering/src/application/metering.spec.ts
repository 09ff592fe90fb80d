import { describe, expect, it } from 'vitest';
import { EXAMPLES, type PriceVersion, type UsageAttemptClosedV1 } from '@meritorder/contracts';
import type { FinishReply } from '@meritorder/counters';
import { bookUsage, CannotBeBooked, UnknownPriceVersion } from './book-usage.js';
import { BooksInMemory, closedAttempt, withoutUsage } from './books.for-tests.js';
import { chargeOf, type PricedBackend } from './charge-of.js';
import { settleHolds } from './settle-holds.js';

/** $0.40 input and $1.60 output per 1M tokens. */
const own = EXAMPLES.events['price.version-published.v1'].version as PriceVersion;
const card = (input: string, output: string): PriceVersion['cash'] => ({
  ...own.cash,
  inputPicosPerToken: input,
  outputPicosPerToken: output,
});
const nano: PriceVersion = {
  ...own,
  id: 'pv-nano',
  model: 'gpt-4.1-nano',
  cash: card('100000', '400000'),
  full: card('100000', '400000'),
};
const tiered: PriceVersion = {
  ...own,
  id: 'pv-tiered',
  cash: { ...own.cash, serviceTiers: { flex: card('200000', '800000') } },
  full: { ...own.cash, serviceTiers: { flex: card('200000', '800000') } },
};
const cloud: PricedBackend = { kind: 'cloud', model: 'gpt-4.1-mini', modelAliases: [], withoutUsage: undefined };
const local: PricedBackend = { ...cloud, kind: 'local' };
const closed = closedAttempt();
const silent = withoutUsage(closed);

describe('the charge of a closed attempt', () => {
  it.each<[string, UsageAttemptClosedV1, object]>([
    ['with usage is its exact cost', closed, { state: 'confirmed', cashNanos: 411_200n, fullNanos: 411_200n }],
    [
      'cancelled with usage too: what was generated is paid for',
      { ...closed, outcome: 'cancelled' },
      { state: 'confirmed', cashNanos: 411_200n },
    ],
    [
      'without usage is its bound, unconfirmed',
      silent,
      { state: 'unconfirmed', cashNanos: 2_219_200n, fullNanos: 2_219_200n },
    ],
    ['that failed after it was sent is its bound', { ...silent, outcome: 'failed' }, { state: 'unconfirmed' }],
    [
      'that was never sent is nothing',
      { ...silent, outcome: 'not-sent', sent: false },
      { state: 'free', cashNanos: 0n, fullNanos: 0n },
    ],
    [
      'that was refused upstream is nothing',
      { ...silent, outcome: 'failed', refusedUpstream: true },
      { state: 'free' },
    ],
    [
      'that was refused but reports usage is charged',
      { ...closed, outcome: 'failed', refusedUpstream: true },
      { state: 'confirmed' },
    ],
  ])('%s', (_name, event, charge) => {
    expect(chargeOf(event, { own, others: [] }, cloud).charge).toMatchObject(charge);
  });
});

describe('what was served is what is billed', () => {
  it.each<[string, Partial<UsageAttemptClosedV1>, PriceVersion, string, bigint]>([
    ['the model asked', { servedModel: 'gpt-4.1-mini-2025-04-14' }, own, own.id, 411_200n],
    ['another model, at its own price', { servedModel: 'gpt-4.1-nano' }, own, 'pv-nano', 102_800n],
    ['the tier served', { servedTier: 'flex' }, tiered, 'pv-tiered', 205_600n],
    ['standard, when flex was asked and default served', { servedTier: 'standard' }, tiered, 'pv-tiered', 411_200n],
    [
      'what the provider says that it charged, whichever model answered',
      { servedModel: 'gpt-9', usage: { ...closed.usage!, statedPicos: '7000000' } },
      own,
      own.id,
      7_000n,
    ],
  ])('%s', (_name, event, price, priceVersion, cashNanos) => {
    expect(chargeOf(closedAttempt(event), { own: price, others: [nano] }, cloud)).toMatchObject({
      charge: { state: 'confirmed', cashNanos },
      priceVersion,
      unpriced: [],
    });
  });

  const priority = { servedTier: 'priority' } as const;
  const searches = { usage: { ...closed.usage!, units: { webSearches: 2 } } };
  const smallBound = { bound: { cashNanos: '1000', fullNanos: '411201' } };
  it.each<[string, Partial<UsageAttemptClosedV1>, bigint, bigint, string]>([
    ['a tier without a price, at the bound', priority, 2_219_200n, 2_219_200n, 'service-tier:priority'],
    ['a search without a price, at the bound', searches, 2_219_200n, 2_219_200n, 'webSearches'],
    [
      'what was rated, where that is more than the bound',
      { ...priority, ...smallBound },
      411_200n,
      411_201n,
      'service-tier:priority',
    ],
    ['a model without a price, at the one asked', { servedModel: 'gpt-9' }, 411_200n, 411_200n, 'served-model:gpt-9'],
  ])('what has no price is never confirmed: %s', (_name, event, cashNanos, fullNanos, missing) => {
    const of = (backend: PricedBackend) => chargeOf(closedAttempt(event), { own, others: [nano] }, backend);
    expect(of(cloud)).toMatchObject({
      charge: { state: 'unconfirmed', cashNanos, fullNanos },
      priceVersion: own.id,
      unpriced: [missing],
    });
    // Own hardware sends no invoice: what is known here is all.
    expect(of(local).charge).toMatchObject({ state: 'confirmed', cashNanos: 411_200n });
  });

  it('in another currency, the native amount and the rate are kept beside the USD', () => {
    const euro: PriceVersion = { ...own, currency: { code: 'EUR', usdPerUnit: '1.1', rateId: 'EUR-2026-11-01 ECB' } };
    expect(chargeOf(closed, { own: euro, others: [] }, cloud)).toMatchObject({
      charge: { cashNanos: 452_320n },
      native: { currency: 'EUR', nanos: '411200', rateId: 'EUR-2026-11-01 ECB' },
    });
  });
});

describe('usage that was counted here because the backend said nothing', () => {
  const estimated = closedAttempt({ usageBasis: 'estimated' });
  it.each<[string, PricedBackend, string, bigint]>([
    ['of own hardware is all there will ever be', local, 'confirmed', 411_200n],
    ['of a provider stays at the bound until its invoice comes', cloud, 'unconfirmed', 2_219_200n],
    [
      'of a provider that never says is booked where the operator chose so',
      { ...cloud, withoutUsage: 'estimate' },
      'confirmed',
      411_200n,
    ],
    ['of own hardware may be held at the bound', { ...local, withoutUsage: 'bound' }, 'unconfirmed', 2_219_200n],
  ])('%s', (_name, backend, state, cashNanos) => {
    expect(chargeOf(estimated, { own, others: [] }, backend).charge).toMatchObject({ state, cashNanos });
  });

  it("and what the engine's own counters say is confirmed", () => {
    const timed = closedAttempt({ usageBasis: 'engine-timings' });
    expect(chargeOf(timed, { own, others: [] }, local).charge.state).toBe('confirmed');
  });
});

describe('booking', () => {
  const books = (versions: PriceVersion[] = [own, nano]): BooksInMemory => {
    const all = new BooksInMemory(versions);
    all.backends = { [closed.backend]: cloud };
    return all;
  };
  const of = (event: UsageAttemptClosedV1) => [{ event, traceparent: undefined }];

  it('an attempt is never rated at another price version than its own', async () => {
    await expect(bookUsage(books([]), of(closed))).rejects.toThrow(UnknownPriceVersion);
    await expect(bookUsage(books([own]), of(closedAttempt({ otherPriceVersions: ['pv-nano'] })))).rejects.toThrow(
      /pv-nano of attempt .* is not in the books/,
    );
  });

  it('keeps which version, basis, model and tier the charge rests on', async () => {
    const all = books();
    await bookUsage(
      all,
      of(closedAttempt({ otherPriceVersions: ['pv-nano'], servedModel: 'gpt-4.1-nano', servedTier: 'standard' })),
    );
    expect(all.attempts.get(closed.attemptId)).toMatchObject({
      priceVersion: 'pv-nano',
      booking: {
        usageBasis: 'reported',
        servedModel: 'gpt-4.1-nano',
        servedTier: 'standard',
        closedAt: closed.closedAt,
      },
    });
    expect(all.entries.map((e) => [e.kind, e.amountNanos])).toEqual([['usage', 102_800n]]);
  });

  it('a replayed message charges once, and says once what had no rate (invariant 3)', async () => {
    const all = books();
    const event = closedAttempt({ servedModel: 'gpt-9' });
    const first = await bookUsage(all, of(event));
    const again = await bookUsage(all, of(event));
    expect(first.unpriced).toEqual([
      { attemptId: event.attemptId, backend: event.backend, what: ['served-model:gpt-9'] },
    ]);
    expect(again).toMatchObject({ unpriced: [], settlements: [{ changed: false, charge: { cashNanos: 411_200n } }] });
    expect(all.entries).toHaveLength(1);
  });

  it('a charge above what was held is booked, and told of once with both amounts', async () => {
    const all = books();
    const event = closedAttempt({ bound: { cashNanos: '411199', fullNanos: '411199' } });
    const first = await bookUsage(all, of(event));
    expect(first.aboveBound).toEqual([
      { attemptId: event.attemptId, backend: event.backend, cashNanos: 411_200n, boundNanos: 411_199n },
    ]);
    expect(first.settlements).toMatchObject([{ charge: { cashNanos: 411_200n } }]);
    expect((await bookUsage(all, of(event))).aboveBound).toEqual([]);
    const exact = closedAttempt({ attemptId: 'exact', bound: { cashNanos: '411200', fullNanos: '411200' } });
    expect((await bookUsage(all, of(exact))).aboveBound).toEqual([]);
  });

  it('an attempt of a backend that the configuration no longer names is charged by what it says of itself', async () => {
    const all = books();
    all.backends = {};
    const { settlements } = await bookUsage(all, of(closed));
    expect(settlements[0]).toMatchObject({ changed: true, charge: { cashNanos: 411_200n } });
  });
});

it('a charge beyond what a counter can hold is not booked', async () => {
  const event = closedAttempt({ usage: { ...closed.usage!, outputTokens: Number.MAX_SAFE_INTEGER } });
  const books = new BooksInMemory([own]);
  await expect(bookUsage(books, [{ event, traceparent: undefined }])).rejects.toThrow(CannotBeBooked);
  expect(books.entries).toEqual([]);
});

it('what the counters cannot be told while admission is closed is given back', async () => {
  const said: string[] = [];
  const reply =
    (verb: string) =>
    async (id: string): Promise<FinishReply> => {
      said.push(`${verb} ${id}`);
      return id === 'closed' ? { type: 'epoch' } : { type: 'done', was: 'opened' };
    };
  const charge = (state: 'confirmed' | 'free' | 'unconfirmed') => ({ state, cashNanos: 1n, fullNanos: 1n });
  const untold = await settleHolds(
    { settle: reply('settle'), release: reply('release'), unconfirm: reply('unconfirm') },
    [
      { attemptId: 'a', charge: charge('confirmed'), changed: true },
      { attemptId: 'b', charge: charge('free'), changed: true },
      { attemptId: 'c', charge: charge('unconfirmed'), changed: true },
      { attemptId: 'closed', charge: charge('confirmed'), changed: true },
    ],
  );
  expect(said).toEqual(['settle a', 'release b', 'unconfirm c', 'settle closed']);
  expect(untold.map((s) => s.attemptId)).toEqual(['closed']);
});
