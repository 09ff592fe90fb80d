import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MeritorderConfig, type ChatRequest } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import {
  boundNanos,
  boundOf,
  estimateTextTokens,
  inputTokensBound,
  priceInForce,
  priceVersionsFromConfig,
  rate,
  ratesFromConfig,
} from './index.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const usage = (u: object) => ({
  inputTokens: 0,
  cacheReadTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
  requests: 1,
  ...u,
});

const rates = ratesFromConfig({
  inputUsdPerMillionTokens: '0.40',
  cacheReadUsdPerMillionTokens: '0.10',
  cacheWrite5mUsdPerMillionTokens: '0.50',
  outputUsdPerMillionTokens: '1.60',
});

describe('rating', () => {
  it('prices each kind of token once', () => {
    const cost = rate(
      { cash: rates, full: rates },
      usage({ inputTokens: 100, cacheReadTokens: 200, cacheWrite5mTokens: 10, outputTokens: 7 }),
    );
    expect(cost.cashNanos).toBe(100n * 400n + 200n * 100n + 10n * 500n + 7n * 1600n);
  });

  it('rounds an attempt once, half to even', () => {
    const odd = ratesFromConfig({ inputUsdPerMillionTokens: '0.0375', outputUsdPerMillionTokens: '0' });
    expect(rate({ cash: odd, full: odd }, usage({ inputTokens: 1 })).cashNanos).toBe(38n);
    expect(rate({ cash: odd, full: odd }, usage({ inputTokens: 3 })).cashNanos).toBe(112n);
    expect(rate({ cash: odd, full: odd }, usage({ inputTokens: 2 })).cashNanos).toBe(75n);
  });

  it('no usage that a request allows costs more than its bound', () => {
    const random = seededRandom(3);
    const pick = (n: number): number => Math.floor(random() * n);
    for (let i = 0; i < 2_000; i++) {
      const price = ratesFromConfig({
        inputUsdPerMillionTokens: (random() * 20).toFixed(6),
        cacheReadUsdPerMillionTokens: (random() * 20).toFixed(6),
        cacheWrite5mUsdPerMillionTokens: (random() * 40).toFixed(6),
        cacheWrite1hUsdPerMillionTokens: (random() * 40).toFixed(6),
        outputUsdPerMillionTokens: (random() * 80).toFixed(6),
        requestUsd: (random() * 0.01).toFixed(9),
      });
      const inputTokensBound = 1 + pick(10_000);
      const choices = 1 + pick(4);
      const maxTokens = 1 + pick(5_000);
      const bound = boundNanos(boundOf({ cash: price, full: price }, { inputTokensBound, choices }).cash, maxTokens);
      const cuts = [pick(inputTokensBound + 1), pick(inputTokensBound + 1), pick(inputTokensBound + 1)].sort(
        (a, b) => a - b,
      );
      const used = usage({
        inputTokens: cuts[0]!,
        cacheReadTokens: cuts[1]! - cuts[0]!,
        cacheWrite5mTokens: cuts[2]! - cuts[1]!,
        cacheWrite1hTokens: inputTokensBound - cuts[2]!,
        outputTokens: pick(maxTokens * choices + 1),
      });
      expect(rate({ cash: price, full: price }, used).cashNanos).toBeLessThanOrEqual(bound);
    }
  });
});

describe('the price book', () => {
  const config = MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: [
      {
        id: 'b',
        kind: 'cloud',
        provider: 'p',
        model: 'm',
        baseUrl: 'http://127.0.0.1:1/v1',
        contextTokens: 1000,
        maxOutputTokens: 100,
        prices: [
          {
            effectiveFrom: '2026-01-01T00:00:00Z',
            cash: { inputUsdPerMillionTokens: 2, outputUsdPerMillionTokens: '8' },
          },
          {
            effectiveFrom: '2026-06-01T00:00:00Z',
            cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '4' },
          },
        ],
      },
    ],
  });
  const versions = priceVersionsFromConfig(config.backends[0]!, sha256);

  it('the version in force is the latest effective one; before the first there is none', () => {
    expect(priceInForce(versions, Date.parse('2025-12-31T23:59:59Z'))).toBeUndefined();
    expect(priceInForce(versions, Date.parse('2026-05-31T23:59:59Z'))?.cash.inputPicosPerToken).toBe('2000000');
    expect(priceInForce(versions, Date.parse('2026-06-01T00:00:00Z'))?.cash.inputPicosPerToken).toBe('1000000');
  });

  it('the same prices have the same id, others another', () => {
    expect(priceVersionsFromConfig(config.backends[0]!, sha256)).toEqual(versions);
    expect(versions[0]!.id).not.toBe(versions[1]!.id);
  });
});

describe('the bound of input tokens', () => {
  it('is at least the UTF-8 bytes of the text', () => {
    for (const text of ['hello', '😀'.repeat(100), '\u0000\n"', 'ü'.repeat(50)]) {
      const body = { model: 'm', messages: [{ role: 'user', content: text }] } as ChatRequest;
      expect(inputTokensBound(body, 0)!).toBeGreaterThanOrEqual(Buffer.byteLength(text));
    }
  });

  it('does not exist for images', () => {
    const body = {
      model: 'm',
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }],
    } as ChatRequest;
    expect(inputTokensBound(body, 0)).toBeUndefined();
  });

  it('estimates 1 MB of one letter without blocking', () => {
    expect(estimateTextTokens('a'.repeat(1_000_000))).toBeGreaterThan(100_000);
  });
});
