import { describe, expect, it } from 'vitest';
import { ThroughputConfig, type Usage } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import {
  decodeAtBatch,
  EMPTY_FIT,
  fittedDecode,
  fittedPrefill,
  observeSpeed,
  throughputOf,
  type SpeedObservation,
  type ThroughputFit,
} from './index.js';

const config = (over: object = {}): ThroughputConfig =>
  ThroughputConfig.parse({ prefillTokensPerSecond: 10_000, decodeTokensPerSecond: 1_000, batch: 8, ...over });
const usage = (inputTokens: number, cacheReadTokens = 0): Usage => ({
  inputTokens,
  cacheReadTokens,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens: 0,
  requests: 1,
});

/** An engine: prefill at 12,000 tokens/s after 20 ms, decode by batch as a memory-bound GPU does, both with 20 % noise. */
class Engine {
  readonly random = seededRandom(42);
  speed = 1;
  prefill = 12_000;

  decodeAt(batch: number): number {
    return (this.speed * 6_000 * batch) / (batch + 60);
  }

  attempt(concurrency: number, stall = 1): SpeedObservation {
    const { random } = this;
    const noise = (): number => 0.8 + 0.4 * random();
    const prefillTokens = Math.ceil(10 ** (1 + 2.5 * random()));
    const decodeTokens = 10 + Math.floor(random() * 800);
    return {
      concurrency,
      usage: usage(prefillTokens),
      timings: {
        prefillTokens,
        prefillMs: ((20 + (prefillTokens * 1_000) / this.prefill) * noise() * stall) / this.speed,
        decodeTokens,
        decodeMs: ((decodeTokens * 1_000) / (this.decodeAt(concurrency) / concurrency)) * noise() * stall,
      },
    };
  }
}

const feed = (fit: ThroughputFit, observations: readonly SpeedObservation[]): ThroughputFit =>
  observations.reduce((state, o) => observeSpeed(state, o, 'uncached'), fit);
const series = (n: number, of: (i: number) => SpeedObservation): SpeedObservation[] =>
  Array.from({ length: n }, (_, i) => of(i));

describe('rates fitted from what engines report', () => {
  it('the decode rate at the stated batch is within 5 % of the engine’s, prefill within 5 % of all its time', () => {
    const engine = new Engine();
    const seen = series(600, () => engine.attempt(1 + Math.floor(engine.random() * 16)));
    const { prefillTokensPerSecond, decodeTokensPerSecond, ...rest } = throughputOf(config(), feed(EMPTY_FIT, seen));
    expect(rest).toMatchObject({ prefillBasis: 'fitted', decodeBasis: 'fitted', attempts: 600, batch: 8 });
    expect(decodeTokensPerSecond / engine.decodeAt(8)).toBeGreaterThan(0.95);
    expect(decodeTokensPerSecond / engine.decodeAt(8)).toBeLessThan(1.05);
    const tokens = seen.reduce((sum, o) => sum + o.timings.prefillTokens, 0);
    const seconds = seen.reduce((sum, o) => sum + o.timings.prefillMs, 0) / 1_000;
    expect(prefillTokensPerSecond / (tokens / seconds)).toBeGreaterThan(0.95);
    expect(prefillTokensPerSecond / (tokens / seconds)).toBeLessThan(1.05);
  });

  it('nothing is followed before enough was seen', () => {
    const engine = new Engine();
    let fit = EMPTY_FIT;
    const basis = series(60, () => engine.attempt(8)).map((o) => {
      fit = feed(fit, [o]);
      return throughputOf(config(), fit).decodeBasis;
    });
    const first = basis.indexOf('fitted');
    expect(first).toBeGreaterThanOrEqual(20);
    expect(basis.slice(first)).not.toContain('configured');
  });

  it('one attempt in ten that stalls a hundredfold moves the rate by less than 12 %, wherever they come', () => {
    for (const stallAt of [0, 3, 9]) {
      const engine = new Engine();
      const fit = feed(
        EMPTY_FIT,
        series(500, (i) => engine.attempt(8, i % 10 === stallAt ? 100 : 1)),
      );
      const { decodeTokensPerSecond } = throughputOf(config(), fit);
      expect(decodeTokensPerSecond / engine.decodeAt(8)).toBeGreaterThan(0.88);
      expect(decodeTokensPerSecond / engine.decodeAt(8)).toBeLessThan(1.05);
    }
  });

  it('an engine that becomes twice as fast is followed', () => {
    const engine = new Engine();
    let fit = feed(
      EMPTY_FIT,
      series(3_000, () => engine.attempt(8)),
    );
    engine.speed = 2;
    fit = feed(
      fit,
      series(3_000, () => engine.attempt(8)),
    );
    expect(throughputOf(config(), fit).decodeTokensPerSecond / engine.decodeAt(8)).toBeGreaterThan(0.93);
  });

  it('the state is plain JSON of constant size', () => {
    const engine = new Engine();
    const size = (n: number): number => {
      const fit = feed(
        EMPTY_FIT,
        series(n, () => engine.attempt(1 + Math.floor(engine.random() * 4_000))),
      );
      expect(JSON.parse(JSON.stringify(fit))).toEqual(fit);
      return JSON.stringify(fit).length;
    };
    expect(size(6_000)).toBeLessThan(1.1 * size(2_000));
    expect(size(6_000)).toBeLessThan(16_000);
  });

  it('timings without content change nothing', () => {
    const silent = { prefillTokens: 0, prefillMs: 0, decodeTokens: 3, decodeMs: 40 };
    expect(observeSpeed(EMPTY_FIT, { timings: silent, usage: undefined }, 'uncached')).toBe(EMPTY_FIT);
  });

  it('a rate that counts all input tokens is fitted on all of them', () => {
    const hit: SpeedObservation = {
      usage: usage(1_000, 3_000),
      timings: { prefillTokens: 1_000, prefillMs: 100, decodeTokens: 0, decodeMs: 0 },
    };
    const fit = (counts: 'all' | 'uncached'): number | undefined =>
      fittedPrefill(series(40, () => hit).reduce((state, o) => observeSpeed(state, o, counts), EMPTY_FIT));
    expect(fit('uncached')).toBe(10_000);
    expect(fit('all')).toBe(40_000);
  });

  it('fit: false keeps what is configured', () => {
    const engine = new Engine();
    const fit = feed(
      EMPTY_FIT,
      series(100, () => engine.attempt(8)),
    );
    expect(throughputOf(config({ fit: false }), fit)).toMatchObject({
      decodeTokensPerSecond: 1_000,
      decodeBasis: 'configured',
      attempts: 0,
    });
  });
});

describe('by batch size', () => {
  const engine = new Engine();
  const fit = feed(
    EMPTY_FIT,
    series(3_000, (i) => engine.attempt([1, 3, 6, 24][i % 4]!)),
  );

  it('between sizes that were seen it is interpolated', () => {
    expect(fittedDecode(fit).map((p) => Math.round(p.batch))).toEqual([1, 3, 6, 24]);
    for (const batch of [2, 4, 12, 18]) {
      const { decodeTokensPerSecond, decodeBasis } = throughputOf(config({ batch }), fit);
      expect(decodeBasis).toBe('fitted');
      expect(decodeTokensPerSecond / engine.decodeAt(batch)).toBeGreaterThan(0.93);
      expect(decodeTokensPerSecond / engine.decodeAt(batch)).toBeLessThan(1.07);
    }
  });

  it('a size that the engine never ran at stays as configured', () => {
    expect(throughputOf(config({ batch: 256 }), fit)).toMatchObject({
      decodeBasis: 'configured',
      decodeTokensPerSecond: 1_000,
      prefillBasis: 'fitted',
    });
  });

  it.each([
    [2, 'below the smallest, in proportion', 50],
    [4, 'at the smallest', 100],
    [8, 'between, on logarithmic axes', 200],
    [16, 'at the largest', 400],
    [99, 'above the largest, no faster', 400],
  ])('at batch %d: %s', (batch, _name, rate) => {
    const points = [
      { batch: 16, tokensPerSecond: 400 },
      { batch: 4, tokensPerSecond: 100 },
    ];
    expect(decodeAtBatch(points, batch)).toBeCloseTo(rate, 9);
  });
});
