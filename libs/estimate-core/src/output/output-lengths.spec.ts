import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { binOfLength, LENGTH_BINS, LONGEST_OF_BIN } from './length-bins.js';
import { estimateOutput, learnOutput, unlearnedLengths, type OutputLengths } from './output-lengths.js';

const MAX = 100_000;
const random = seededRandom(9);
const gauss = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const logNormal = (median: number, deviation = 0.8): number =>
  Math.max(1, Math.round(median * Math.exp(deviation * gauss())));
const learn = (key: OutputLengths, answers: number, length: () => number): void => {
  for (let i = 0; i < answers; i++) learnOutput([key], { tokens: length(), maxTokens: MAX });
};

/** Shares of answers no longer than stated, in percent, where what is learned lags 64 answers behind what is stated. */
function coverageOf(lengths: readonly number[], warm: number): { p95: number; p99: number } {
  const key = unlearnedLengths();
  const waiting: { tokens: number; maxTokens: number; stated: { p95: number; p99: number } }[] = [];
  const covered = { p95: 0, p99: 0 };
  lengths.forEach((tokens, i) => {
    const stated = estimateOutput([key], MAX);
    if (i >= warm) {
      if (tokens <= stated.p95) covered.p95++;
      if (tokens <= stated.p99) covered.p99++;
    }
    waiting.push({ tokens, maxTokens: MAX, stated });
    if (waiting.length > 64) learnOutput([key], waiting.shift()!);
  });
  const judged = (lengths.length - warm) / 100;
  return { p95: covered.p95 / judged, p99: covered.p99 / judged };
}

describe('the bins of lengths', () => {
  it('are exact up to 64 tokens and at most 2.3 % wide above, and hold any length', () => {
    for (let tokens = 0; tokens <= 64; tokens++) expect(LONGEST_OF_BIN[binOfLength(tokens)]).toBe(tokens);
    for (let tokens = 65; tokens < 2_000_000; tokens = Math.ceil(tokens * 1.003)) {
      const bin = binOfLength(tokens);
      expect(LONGEST_OF_BIN[bin]!).toBeGreaterThanOrEqual(tokens);
      expect(LONGEST_OF_BIN[bin - 1]!).toBeLessThan(tokens);
      expect(LONGEST_OF_BIN[bin]! / (LONGEST_OF_BIN[bin - 1]! + 1)).toBeLessThan(1.023);
    }
    expect(binOfLength(1e9)).toBe(LENGTH_BINS - 1);
  });
});

describe('the length of an answer', () => {
  it("is, before anything was learned, the prior: about the seed's 500 tokens, one of a hundred above 4,096", () => {
    const prior = estimateOutput([], MAX);
    expect(prior).toMatchObject({ basis: 'prior', seen: 0 });
    expect(Math.abs(prior.expected - 465)).toBeLessThan(15);
    expect(Math.abs(prior.p99 - 4_096)).toBeLessThan(120);
    expect(prior.coverage).toBeUndefined();
  });

  it('is never above max_tokens, which also bounds the mean', () => {
    const key = unlearnedLengths();
    learn(key, 500, () => (random() < 0.5 ? 10 : 1_000));
    expect(estimateOutput([key], 100)).toMatchObject({ p95: 100, p99: 100 });
    expect(Math.abs(estimateOutput([key], 100).expected - 55)).toBeLessThan(4);
    expect(estimateOutput([], 7)).toMatchObject({ p95: 7, p99: 7 });
  });

  it('has the mean and the quantiles of what was seen', () => {
    const key = unlearnedLengths();
    const lengths = Array.from({ length: 3_000 }, () => logNormal(300));
    let next = 0;
    learn(key, lengths.length, () => lengths[next++]!);
    const sorted = lengths.toSorted((a, b) => a - b);
    const { expected, p95, p99 } = estimateOutput([key], MAX);
    expect(expected / (lengths.reduce((a, b) => a + b) / 3_000)).toBeCloseTo(1, 1);
    expect(Math.abs(p95 / sorted[2_850]! - 1)).toBeLessThan(0.15);
    expect(Math.abs(p99 / sorted[2_970]! - 1)).toBeLessThan(0.3);
  });

  it('counts an answer that was cut at max_tokens, or by the caller, as at least that long', () => {
    const honest = unlearnedLengths();
    const censored = unlearnedLengths();
    const dropped = unlearnedLengths();
    for (let i = 0; i < 6_000; i++) {
      const tokens = logNormal(200, 1);
      const maxTokens = i % 2 === 0 ? 300 : MAX;
      learnOutput([honest], { tokens, maxTokens: MAX });
      const seen = { tokens: Math.min(tokens, maxTokens), maxTokens };
      learnOutput([censored], i % 3 === 0 ? { ...seen, cut: tokens > maxTokens } : seen);
      learnOutput([dropped], { ...seen, maxTokens: MAX });
    }
    const truth = estimateOutput([honest], MAX);
    const of = (key: OutputLengths): number => estimateOutput([key], MAX).expected / truth.expected;
    expect(Math.abs(of(censored) - 1)).toBeLessThan(0.1);
    expect(of(dropped)).toBeLessThan(0.85);
  });
});

describe('a chain of keys', () => {
  const [route, task] = [unlearnedLengths(), unlearnedLengths()];
  learn(route, 2_000, () => logNormal(800));

  it('lends a key what its parent knows until it knows itself', () => {
    const before = estimateOutput([route, task], MAX);
    expect(before.expected).toBeCloseTo(estimateOutput([route], MAX).expected, 5);
    learn(task, 5, () => 20);
    const few = estimateOutput([route, task], MAX);
    expect(few.expected).toBeLessThan(before.expected * 0.85);
    expect(few.expected).toBeGreaterThan(before.expected * 0.5);
    expect(few.p99).toBeGreaterThan(1_000);
    learn(task, 500, () => 20);
    expect(estimateOutput([route, task], MAX)).toMatchObject({
      p95: 20,
      p99: 20,
      basis: 'learned',
      seen: 505,
    });
  });

  it('skips keys that nobody has learned yet', () => {
    expect(estimateOutput([undefined, route, undefined], MAX)).toEqual(estimateOutput([route], MAX));
  });
});

describe('the coverage of p95 and p99, stated before and with answers that arrive 64 requests late', () => {
  const drifting: [string, (share: number, i: number) => number][] = [
    ['nothing changes', () => logNormal(100)],
    ['answers grow fourfold', (share) => logNormal(100 * 4 ** share)],
    ['answers shrink to a quarter', (share) => logNormal(400 / 4 ** share)],
    ['answers triple and fall back every 2,500', (_, i) => logNormal(Math.floor(i / 2_500) % 2 === 0 ? 100 : 300)],
    ['answers swing threefold three times', (share) => logNormal(100 * Math.exp(1.1 * Math.sin(share * 6 * Math.PI)))],
    ['the spread triples', (share) => logNormal(100, 0.4 + 0.8 * share)],
    ['two kinds alternate', (_, i) => (i % 2 === 0 ? logNormal(20, 0.5) : logNormal(900, 0.4))],
    ['at half time another model answers, 10 times as long', (share) => logNormal(share < 0.5 ? 60 : 600)],
  ];
  it.each(drifting)('is within 1 point of nominal when %s', (_label, length) => {
    const lengths = Array.from({ length: 10_000 }, (_, i) => length(i / 10_000, i));
    const { p95, p99 } = coverageOf(lengths, 2_000);
    expect(Math.abs(p95 - 95)).toBeLessThan(1);
    expect(Math.abs(p99 - 99)).toBeLessThan(1);
  });

  it('is reported as it was observed, of what was stated', () => {
    const key = unlearnedLengths();
    for (let i = 0; i < 1_000; i++)
      learnOutput([key], { tokens: i % 10 === 0 ? 50 : 5, maxTokens: MAX, stated: { p95: 10, p99: 60 } });
    const { coverage } = estimateOutput([key], MAX);
    expect(coverage!.p95).toBeCloseTo(0.9, 2);
    expect(coverage!.p99).toBe(1);
    expect(coverage!.judged).toBeGreaterThan(800);
  });
});
