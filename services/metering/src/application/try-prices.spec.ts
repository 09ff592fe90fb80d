import { describe, expect, it } from 'vitest';
import type { PriceVersion, Usage } from '@meritorder/contracts';
import type { ChargedAttempt } from '@meritorder/ledger-store';
import { closedAttempt } from './books.for-tests.js';
import { priceToTry, tryPrice, TRIED_ATTEMPTS_MOST } from './try-prices.js';

const NOW_MS = Date.parse('2026-02-15T12:00:00.000Z');
const BACKEND = { kind: 'cloud' as const, model: 'gpt-4.1-mini', modelAliases: [], withoutUsage: undefined };

/** A price of input alone, in pico-USD per token, doubled above 10,000 input tokens. */
function price(id: string, inputPicos: string, effectiveFrom = '2026-01-01T00:00:00.000Z'): PriceVersion {
  const rates = (input: string) => ({
    inputPicosPerToken: input,
    cacheReadPicosPerToken: input,
    cacheWrite5mPicosPerToken: input,
    cacheWrite1hPicosPerToken: input,
    outputPicosPerToken: '0',
    requestPicos: '0',
  });
  const double = (BigInt(inputPicos) * 2n).toString();
  const cash = { ...rates(inputPicos), contextTiers: [{ overInputTokens: 10_000, rates: rates(double) }] };
  return { id, backend: 'b', effectiveFrom, cash, full: cash, source: 'test' };
}

function attempt(inputTokens: number, cashNanos: string): ChargedAttempt {
  const usage: Usage = {
    inputTokens,
    cacheReadTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens: 5,
    requests: 1,
  };
  const at = new Date(NOW_MS - 60_000);
  return {
    terms: closedAttempt(),
    usage,
    servedModel: null,
    servedTier: null,
    reservedAt: at,
    closedAt: at,
    cashNanos,
    fullNanos: cashNanos,
  };
}

describe('a price that is only tried', () => {
  it('says what the last hour would have cost, by the code that rates: tiers too (pitfall 40)', async () => {
    let asked: unknown[] = [];
    const chargedSince = async (...question: [string, Date, number]) => {
      asked = question;
      return [attempt(1_000, '2000000'), attempt(20_000, '80000000')];
    };
    const tried = await tryPrice({ chargedSince }, price('pv-slip', '2000000000000'), BACKEND, NOW_MS);
    expect(asked).toEqual(['b', new Date('2026-02-15T11:00:00.000Z'), TRIED_ATTEMPTS_MOST]);
    expect(tried).toEqual({
      priceVersion: 'pv-slip',
      since: '2026-02-15T11:00:00.000Z',
      attempts: 2,
      complete: true,
      cashNanos: '82000000',
      fullNanos: '82000000',
      triedCashNanos: '82000000000000',
      triedFullNanos: '82000000000000',
    });
  });

  it('without attempts is no division by zero but says so', async () => {
    const tried = await tryPrice({ chargedSince: async () => [] }, price('pv-1', '1'), BACKEND, NOW_MS);
    expect(tried).toMatchObject({ attempts: 0, complete: true, cashNanos: '0', triedCashNanos: '0' });
  });

  it('is the one that would act now, else the first to come; prices of other models are not', () => {
    const intake = (...versions: PriceVersion[]) => ({
      insert: versions.map((version) => ({
        entry: {
          version,
          digest: '',
          derived: false,
          word: undefined,
          origin: 'operator',
          status: 'accepted' as const,
          withdrawn: false,
        },
        reasons: [],
      })),
      withdraw: [],
      restore: [],
    });
    const past = price('past', '1');
    const present = price('present', '2', '2026-02-01T00:00:00.000Z');
    const soon = price('soon', '3', '2026-03-01T00:00:00.000Z');
    const later = price('later', '4', '2026-04-01T00:00:00.000Z');
    expect(priceToTry(intake(later, present, past, soon), NOW_MS)?.id).toBe('present');
    expect(priceToTry(intake(later, soon), NOW_MS)?.id).toBe('soon');
    expect(priceToTry(intake({ ...past, model: 'other' }), NOW_MS)).toBeUndefined();
  });
});
