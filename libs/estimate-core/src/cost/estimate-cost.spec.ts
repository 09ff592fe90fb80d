import {
  EXAMPLES,
  type BackendConfig,
  type ChatRequest,
  type PriceVersion,
  type RateCard,
} from '@meritorder/contracts';
import { boundNanos, boundOf, rate } from '@meritorder/pricing-core';
import { EstimateReply } from '@meritorder/contracts';
import { describe, expect, it } from 'vitest';
import { emptyLearned } from '../learned/learned.js';
import { forecastRequest } from '../learned/forecast-request.js';
import { compareBackends, type ComparedBackend } from './compare-backends.js';
import { costLines, estimateCost, expectedUsage } from './estimate-cost.js';

const AT = Date.parse('2026-11-24T17:00:00Z');
const example = EXAMPLES.events['price.version-published.v1'].version;
const card = (input: string, output: string, more: Partial<RateCard> = {}): RateCard => ({
  inputPicosPerToken: input,
  cacheReadPicosPerToken: String(BigInt(input) / 10n),
  cacheWrite5mPicosPerToken: String((BigInt(input) * 5n) / 4n),
  cacheWrite1hPicosPerToken: String(BigInt(input) * 2n),
  outputPicosPerToken: output,
  requestPicos: '0',
  ...more,
});
const priced = (cash: RateCard, more: Partial<PriceVersion> = {}): PriceVersion => ({
  ...example,
  cash,
  full: cash,
  ...more,
});
const backend = (id: string, more: Partial<BackendConfig> = {}): ComparedBackend['backend'] => ({
  id,
  kind: 'cloud',
  provider: 'anthropic',
  model: 'claude-sonnet-4-5',
  templateTokensPerMessage: 16,
  maxOutputTokens: 8_192,
  contextTokens: 200_000,
  ...more,
});
const marked = { type: 'ephemeral', ttl: '1h' };
const body = {
  model: 'auto',
  max_tokens: 1_000,
  messages: [
    { role: 'system', content: [{ type: 'text', text: 'The handbook says so. '.repeat(600), cache_control: marked }] },
    { role: 'user', content: 'What does it say, in one sentence?' },
  ],
} as unknown as ChatRequest;
const learned = () => emptyLearned({ tokenizerOf: () => undefined, sharesLearning: () => false });
const forecastOf = (request = body) => forecastRequest(learned(), { body: request, org: 'acme', route: 'auto' }, AT);
const tiered = priced(
  card('3000000', '15000000', {
    requestPicos: '5000001',
    contextTiers: [{ overInputTokens: 1_000, rates: card('6000003', '22500000', { requestPicos: '5000001' }) }],
    timeBands: [{ fromUtc: '16:00', toUtc: '18:00', rates: card('1500007', '7500001') }],
  }),
  { accountFactor: '0.937', currency: { code: 'EUR', usdPerUnit: '1.0731', rateId: 'r' } },
);
const prices: [string, PriceVersion, number][] = [
  ['flat', priced(card('2500000', '10000000')), AT],
  ['with a long-context tier, a discount and a currency', tiered, AT + 3_600_000],
  ['within a time of day', tiered, AT],
  ['where own hardware costs more than its cash', priced(card('0', '0'), { full: card('70011', '411007') }), AT],
];

describe('the estimate of a cost', () => {
  const forecast = forecastOf().of(backend('a'));

  it.each(prices)('is what the settlement makes of the expected usage, %s', (_label, price, atMs) => {
    const allowed = { choices: 2 };
    const estimate = estimateCost({ forecast, price, maxTokens: 1_000, allowed, atMs });
    expect(estimate.usage.outputTokens).toBe(Math.ceil(2 * forecast.output.expected));
    expect(estimate.expected).toEqual(rate(price, estimate.usage, { atMs }));
    const bound = boundOf(price, { choices: 2, inputTokensBound: forecast.inputTokensBound! });
    expect(estimate.bound).toEqual(bound);
    expect(estimate.boundCashNanos).toBe(boundNanos(bound.cash, 1_000));
    expect(estimate.boundFullNanos).toBe(boundNanos(bound.full, 1_000));
  });

  it.each(prices)('rises from expected over p95 and p99 to the bound, %s', (_label, price, atMs) => {
    const { expected, p95, p99, boundCashNanos, boundFullNanos } = estimateCost({
      forecast,
      price,
      maxTokens: 1_000,
      allowed: { choices: 1 },
      atMs,
    });
    const cash = [expected, p95, p99].map((cost) => cost.cashNanos);
    const full = [expected, p95, p99].map((cost) => cost.fullNanos);
    expect([...cash, boundCashNanos!]).toEqual(
      [...cash, boundCashNanos!].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
    );
    expect([...full, boundFullNanos!]).toEqual(
      [...full, boundFullNanos!].toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });

  it.each(prices)(
    'has parts by kind that add up to it, each at the rate that holds for the whole, %s',
    (_label, price, atMs) => {
      const usage = { ...expectedUsage(forecast, 321), cacheReadTokens: 777, cacheWrite5mTokens: 55 };
      const whole = rate(price, usage, { atMs });
      const lines = costLines(price, usage, atMs);
      expect(lines.reduce((sum, line) => sum + line.cashNanos, 0n)).toBe(whole.cashNanos);
      expect(lines.reduce((sum, line) => sum + line.fullNanos, 0n)).toBe(whole.fullNanos);
      const without = rate(price, { ...usage, outputTokens: 0 }, { atMs });
      const output = lines.find((line) => line.kind === 'output')!;
      const difference = whole.cashNanos - without.cashNanos - output.cashNanos;
      expect(difference >= -3n && difference <= 3n).toBe(true);
    },
  );

  it('expects the part that the caller marks to be written for an hour, and to be read once it was sent', () => {
    const state = learned();
    const request = { body, org: 'acme', route: 'auto' };
    const first = forecastRequest(state, request, AT);
    const usage = expectedUsage(first.of(backend('a')), 100);
    expect(usage.cacheReadTokens).toBe(0);
    expect(usage.cacheWrite1hTokens / first.of(backend('a')).input.expected).toBeGreaterThan(0.98);
    first.sentTo(backend('a'), AT);
    const again = forecastRequest(state, request, AT + 59 * 60_000);
    const read = expectedUsage(again.of(backend('a')), 100);
    expect(read.cacheReadTokens + read.cacheWrite1hTokens).toBe(usage.cacheWrite1hTokens);
    // Four of five planned tokens, until usage tells better.
    expect(read.cacheReadTokens / usage.cacheWrite1hTokens).toBeCloseTo(0.8, 2);
    expect(expectedUsage(again.of(backend('b')), 100).cacheReadTokens).toBe(0);
    for (const u of [usage, read])
      expect(u.inputTokens + u.cacheReadTokens + u.cacheWrite5mTokens + u.cacheWrite1hTokens).toBe(
        first.of(backend('a')).input.expected,
      );
  });

  it('covers other models that may answer in its place', () => {
    const dear = priced(card('30000000', '150000000'));
    const question = { forecast, price: priced(card('1', '1')), maxTokens: 10, allowed: { choices: 1 }, atMs: AT };
    const alone = estimateCost({ ...question, price: dear });
    expect(estimateCost({ ...question, otherPrices: [dear] }).boundCashNanos).toBe(alone.boundCashNanos);
  });
});

describe('all backends side by side', () => {
  const rows = compareBackends(
    forecastOf(),
    [
      { backend: backend('dear'), price: priced(card('3000000', '15000000')) },
      { backend: backend('unpriced'), price: undefined },
      { backend: backend('cheap'), price: priced(card('100000', '400000')) },
      { backend: backend('small', { contextTokens: 1_000 }), price: priced(card('1', '1')) },
      { backend: backend('gone'), price: priced(card('2', '2')), unable: 'no live worker' },
      { backend: backend('own', { kind: 'local' }), price: priced(card('0', '0'), { full: card('90000', '900000') }) },
    ],
    { choices: 1, atMs: AT },
  );

  it('come by expected cash, then the unable and the unpriced with the reason', () => {
    expect(rows.map((row) => [row.backend, row.state, row.reason])).toEqual([
      ['own', 'able', undefined],
      ['cheap', 'able', undefined],
      ['dear', 'able', undefined],
      ['small', 'unable', expect.stringMatching(/^about \d+ input tokens exceed its context of 1000$/)],
      ['gone', 'unable', 'no live worker'],
      ['unpriced', 'unpriced', 'has no price in force'],
    ]);
    expect(rows.find((row) => row.backend === 'gone')!.cost).toBeDefined();
    expect(rows.find((row) => row.backend === 'unpriced')!.cost).toBeUndefined();
  });

  it('show every figure with what it rests on, and parts that add up', () => {
    for (const row of rows) {
      expect(row.input).toMatchObject({ basis: 'classes', cacheBasis: row.backend === 'own' ? 'none' : 'planned' });
      expect(row.output).toMatchObject({ basis: 'prior', seen: 0, choices: 1 });
      expect(row.input.expectedTokens).toBeLessThanOrEqual(row.input.upperTokens);
      expect(row.output.p99Tokens).toBeLessThanOrEqual(row.output.maxTokens);
      if (!row.cost) continue;
      const parts = row.cost.lines.reduce((sum, line) => sum + BigInt(line.cashNanos), 0n);
      expect(parts.toString()).toBe(row.cost.expectedCashNanos);
      expect(BigInt(row.cost.boundCashNanos!)).toBeGreaterThanOrEqual(BigInt(row.cost.p99CashNanos));
    }
  });

  it('are the reply of the estimate endpoint', () => {
    const reply = JSON.parse(JSON.stringify({ route: 'auto', estimatedAt: new Date(AT).toISOString(), rows }));
    expect(EstimateReply.parse(reply)).toEqual(reply);
  });
});
