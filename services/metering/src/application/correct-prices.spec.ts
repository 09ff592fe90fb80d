import { describe, expect, it } from 'vitest';
import type { PriceVersion, UsageAttemptClosedV1 } from '@meritorder/contracts';
import { priceInForce } from '@meritorder/pricing-core';
import { bookUsage } from './book-usage.js';
import { BooksInMemory, closedAttempt } from './books.for-tests.js';
import { correctPrices } from './correct-prices.js';

const BACKEND = 'gpt-4-1-mini';

/** A version of one price for input, USD per 1M tokens; output is free. */
function version(id: string, effectiveFrom: string, inputUsd: number, more: Partial<PriceVersion> = {}): PriceVersion {
  const picos = (inputUsd * 1e6).toString();
  const cash = {
    inputPicosPerToken: picos,
    cacheReadPicosPerToken: picos,
    cacheWrite5mPicosPerToken: picos,
    cacheWrite1hPicosPerToken: picos,
    outputPicosPerToken: '0',
    requestPicos: '0',
  };
  return { id, backend: BACKEND, effectiveFrom, cash, full: cash, source: 'test', ...more };
}

class Deployment extends BooksInMemory {
  private count = 0;

  /** An attempt of 1,000 input tokens, at the version in force when it was reserved; booked a second later. */
  async serve(reservedAt: string, more: Partial<UsageAttemptClosedV1> = {}): Promise<string> {
    const attemptId = `a${++this.count}`;
    const price = priceInForce(this.versions, Date.parse(reservedAt))!;
    this.now = new Date(Date.parse(reservedAt) + 1_000).toISOString();
    const event = closedAttempt({ attemptId, reservedAt, closedAt: this.now, priceVersion: price.id, ...more });
    await bookUsage(this, [{ event, traceparent: undefined }]);
    return attemptId;
  }

  /** A price that is learned now. @returns how many attempts were adjusted. */
  async learn(now: string, late: PriceVersion): Promise<number> {
    this.now = now;
    this.versions.push(late);
    const { id: priceVersion, backend, model, effectiveFrom } = late;
    return correctPrices(this, { priceVersion, backend, model, since: new Date(effectiveFrom) }, now);
  }

  get expense(): bigint {
    return this.entries.reduce(
      (sum, e) => sum + (e.debitAccount.startsWith('expense:') ? e.amountNanos : -e.amountNanos),
      0n,
    );
  }
}

async function deployment(): Promise<Deployment> {
  const all = new Deployment([version('pv-1', '2026-01-01T00:00:00.000Z', 2)]);
  all.backends = { [BACKEND]: { kind: 'cloud', model: 'gpt-4.1-mini', modelAliases: [], withoutUsage: undefined } };
  await all.serve('2026-01-10T12:00:00.000Z');
  await all.serve('2026-01-20T12:00:00.000Z');
  await all.serve('2026-02-10T12:00:00.000Z');
  return all;
}

describe('a price that is learned late', () => {
  it('adjusts what was rated since it began to act, in the open period; closed totals are unchanged (pitfall 37)', async () => {
    const all = await deployment();
    const before = [all.totalOf('2026-01'), all.totalOf('2026-02')];
    const entries = [...all.entries];
    expect(before).toEqual([4_000_000n, 2_000_000n]);

    expect(await all.learn('2026-03-05T09:00:00.000Z', version('pv-2', '2026-01-15T00:00:00.000Z', 1.5))).toBe(2);

    expect([all.totalOf('2026-01'), all.totalOf('2026-02')]).toEqual(before);
    expect(all.totalOf('2026-03')).toBe(-1_000_000n);
    expect(all.entries.slice(0, entries.length)).toEqual(entries);
    expect(all.entries.slice(entries.length)).toMatchObject([
      { attemptId: 'a2', kind: 'adjustment', cause: 'price-correction', amountNanos: 500_000n },
      { attemptId: 'a3', kind: 'adjustment', cause: 'price-correction', amountNanos: 500_000n },
    ]);
    expect(all.expense).toBe(2_000_000n + 1_500_000n + 1_500_000n);
    expect(all.notes).toEqual([['pv-2', 2, -1_000_000n]]);
  });

  it('run twice changes nothing more', async () => {
    const all = await deployment();
    const late = version('pv-2', '2026-01-15T00:00:00.000Z', 1.5);
    await all.learn('2026-03-05T09:00:00.000Z', late);
    const entries = all.entries.length;
    const correction = {
      priceVersion: late.id,
      backend: BACKEND,
      model: undefined,
      since: new Date(late.effectiveFrom),
    };
    expect(await correctPrices(all, correction, '2026-03-06T09:00:00.000Z')).toBe(0);
    expect(all.entries).toHaveLength(entries);
    expect(all.notes).toHaveLength(1);
  });

  it('of the price of each stretch of time since, the one that the book has for it is taken', async () => {
    const all = await deployment();
    await all.learn('2026-02-20T09:00:00.000Z', version('pv-feb', '2026-02-01T00:00:00.000Z', 4));
    expect(all.expense).toBe(8_000_000n);
    // Learned after the one that follows it: February stays at its own.
    expect(await all.learn('2026-03-05T09:00:00.000Z', version('pv-jan', '2026-01-15T00:00:00.000Z', 1))).toBe(1);
    expect(all.expense).toBe(2_000_000n + 1_000_000n + 4_000_000n);
  });

  it('corrected again, is adjusted again, by the difference to the last', async () => {
    const all = await deployment();
    await all.learn('2026-03-05T09:00:00.000Z', version('pv-2', '2026-01-15T00:00:00.000Z', 1.5));
    await all.learn('2026-04-05T09:00:00.000Z', version('pv-3', '2026-01-15T00:00:00.000Z', 3));
    expect(all.totalOf('2026-03')).toBe(-1_000_000n);
    expect(all.totalOf('2026-04')).toBe(3_000_000n);
    expect(all.expense).toBe(2_000_000n + 3_000_000n + 3_000_000n);
  });

  it('of another number but the same rates moves no money and is no news', async () => {
    const all = await deployment();
    const entries = all.entries.length;
    expect(await all.learn('2026-03-05T09:00:00.000Z', version('pv-same', '2026-01-15T00:00:00.000Z', 2))).toBe(0);
    expect(all.entries).toHaveLength(entries);
    expect(all.notes).toEqual([]);
    expect(all.attempts.get('a3')!.priceVersion).toBe('pv-same');
  });

  it('of another model that answered touches what that one answered, and nothing else', async () => {
    const all = await deployment();
    const mini = version('pv-mini', '2026-01-01T00:00:00.000Z', 0.2, { model: 'gpt-4.1-nano' });
    all.versions.push(mini);
    const other = await all.serve('2026-02-11T12:00:00.000Z', {
      servedModel: 'gpt-4.1-nano',
      otherPriceVersions: ['pv-mini'],
    });
    expect(all.attempts.get(other)).toMatchObject({ priceVersion: 'pv-mini', charge: { cashNanos: 200_000n } });
    const late = version('pv-mini-2', '2026-02-01T00:00:00.000Z', 0.1, { model: 'gpt-4.1-nano' });
    expect(await all.learn('2026-03-05T09:00:00.000Z', late)).toBe(1);
    expect(all.attempts.get(other)).toMatchObject({
      priceVersion: 'pv-mini-2',
      charge: { cashNanos: 100_000n },
      booking: { unpriced: [] },
    });
    expect(await all.learn('2026-03-06T09:00:00.000Z', version('pv-2', '2026-02-01T00:00:00.000Z', 1))).toBe(1);
    expect(all.attempts.get(other)!.priceVersion).toBe('pv-mini-2');
  });

  it('confirms what was unconfirmed for want of a rate, once a price has it', async () => {
    const all = await deployment();
    const priority = await all.serve('2026-02-12T12:00:00.000Z', { servedTier: 'priority' });
    expect(all.attempts.get(priority)).toMatchObject({
      charge: { state: 'unconfirmed' },
      booking: { unpriced: ['service-tier:priority'] },
    });
    // Still without it.
    await all.learn('2026-03-04T09:00:00.000Z', version('pv-2', '2026-02-01T00:00:00.000Z', 4));
    expect(all.attempts.get(priority)).toMatchObject({ priceVersion: 'pv-1', charge: { state: 'unconfirmed' } });
    const rates = version('x', '2026-01-01T00:00:00.000Z', 7).cash;
    const cash = { ...version('x', '2026-01-01T00:00:00.000Z', 4).cash, serviceTiers: { priority: rates } };
    await all.learn('2026-03-05T09:00:00.000Z', {
      ...version('pv-3', '2026-02-01T00:00:00.000Z', 4),
      cash,
      full: cash,
    });
    expect(all.attempts.get(priority)).toMatchObject({
      priceVersion: 'pv-3',
      charge: { state: 'confirmed', cashNanos: 7_000_000n },
      booking: { unpriced: [] },
    });
  });

  it('keeps the tier, the time of day and the model that served', async () => {
    const all = await deployment();
    const flex = await all.serve('2026-02-12T23:59:59.500Z', { servedTier: 'flex' });
    const night = await all.serve('2026-02-12T23:59:59.500Z');
    const rates = version('x', '2026-01-01T00:00:00.000Z', 1).cash;
    const cash = {
      ...version('x', '2026-01-01T00:00:00.000Z', 4).cash,
      serviceTiers: { flex: rates },
      // The answer came half a second after midnight.
      timeBands: [{ fromUtc: '00:00', toUtc: '06:00', rates: version('x', '2026-01-01T00:00:00.000Z', 3).cash }],
    };
    const late = { ...version('pv-2', '2026-02-01T00:00:00.000Z', 4), cash, full: cash };
    await all.learn('2026-03-05T09:00:00.000Z', late);
    expect(all.attempts.get(flex)!.charge.cashNanos).toBe(1_000_000n);
    expect(all.attempts.get(night)!.charge.cashNanos).toBe(3_000_000n);
    expect(all.attempts.get('a3')!.charge.cashNanos).toBe(4_000_000n);
  });

  it('adjusts more attempts than fit into one batch', async () => {
    const all = await deployment();
    for (let i = 0; i < 450; i++) await all.serve('2026-02-12T12:00:00.000Z');
    expect(await all.learn('2026-03-05T09:00:00.000Z', version('pv-2', '2026-01-15T00:00:00.000Z', 1))).toBe(452);
    expect(all.expense).toBe(2_000_000n + 452n * 1_000_000n);
  });

  it('leaves alone what is not confirmed', async () => {
    const all = await deployment();
    const silent = await all.serve('2026-02-12T12:00:00.000Z', { usageBasis: 'estimated' });
    await all.learn('2026-03-05T09:00:00.000Z', version('pv-2', '2026-02-11T00:00:00.000Z', 1));
    expect(all.attempts.get(silent)).toMatchObject({ priceVersion: 'pv-1', charge: { state: 'unconfirmed' } });
  });
});
