import { seededRandom } from '@meritorder/kernel';
import { describe, expect, it } from 'vitest';
import { conversionInterval, emptyOrgConversion, learnConversion, learnTrial, predictConversion } from '../index.js';
import { DELAY_BINS } from './delay.js';
import { meanShares, supposedDelays } from './delay-belief.js';
import { restoreConversion, snapshotConversion } from './snapshot.js';
import type { OrgConversion } from './segments.js';

const HOUR_MS = 3_600_000;
/** In the middle of a bucket of time: an org does not begin with one. */
const START_MS = Date.parse('2026-11-01T05:00:00Z');
const SEGMENT = ['pro', 'pro/chat'];
const TRUTH = { a: 0.03, b: 0.06 };
const SEEDS = Array.from({ length: 12 }, (_, i) => i + 1);

interface Young {
  readonly seed: number;
  readonly hours: number;
  /** Of each backend. */
  readonly requestsAnHour: number;
  readonly rates?: typeof TRUTH;
  readonly delayMs: (random: () => number) => number;
}

/** Requests and conversions in the order in which they happen, from an org's first request on. */
function young({ seed, hours, requestsAnHour, rates = TRUTH, delayMs }: Young): OrgConversion {
  const random = seededRandom(seed);
  const state = emptyOrgConversion(START_MS);
  const events: { atMs: number; backend: 'a' | 'b'; requestedAtMs?: number }[] = [];
  for (let i = 0; i < requestsAnHour * hours; i++) {
    const atMs = START_MS + (i * HOUR_MS) / requestsAnHour;
    for (const backend of ['a', 'b'] as const) {
      events.push({ atMs, backend });
      if (random() < rates[backend]) events.push({ atMs: atMs + delayMs(random), backend, requestedAtMs: atMs });
    }
  }
  for (const { atMs, backend, requestedAtMs } of events.sort((x, y) => x.atMs - y.atMs)) {
    if (atMs > START_MS + hours * HOUR_MS) break;
    if (requestedAtMs === undefined)
      learnTrial(state, { segment: SEGMENT, backend, requestedAtMs: atMs, quality: 0.8 }, atMs);
    else
      learnConversion(
        state,
        { segment: SEGMENT, backend, requestedAtMs, occurredAtMs: atMs, converted: true, wasConverted: false },
        atMs,
      );
  }
  return state;
}

const rateOf = (state: OrgConversion, backend: string) => predictConversion(state, SEGMENT, backend, { quality: 0.8 });
const mean = (numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;
const withinAMinute = (random: () => number) => 20_000 + random() * 40_000;
const days = (meanDays: number) => (random: () => number) => -Math.log(1 - random()) * meanDays * 24 * HOUR_MS;

describe('the rate of a young org', () => {
  it('whose conversions come within a minute is right within hours, for delays are seen to be short', () => {
    for (const [hours, off] of [
      [3, 0.15],
      [12, 0.05],
    ] as const) {
      const states = SEEDS.map((seed) => young({ seed, hours, requestsAnHour: 200, delayMs: withinAMinute }));
      for (const backend of ['a', 'b'] as const) {
        const rates = states.map((state) => rateOf(state, backend).conversion);
        expect(Math.abs(mean(rates) / TRUTH[backend] - 1)).toBeLessThan(off);
        for (const rate of rates) expect(rate).toBeLessThan(2 * TRUTH[backend]);
      }
    }
  });

  it('is never far from what came over what was answered when all of it was reported at once', () => {
    for (const seed of SEEDS) {
      const rates = { a: 0.05, b: 0.1 };
      const state = young({ seed, hours: 1 / 180, requestsAnHour: 180 * 400, rates, delayMs: () => 0 });
      const [a, b] = [rateOf(state, 'a'), rateOf(state, 'b')];
      expect(b.conversion).toBeGreaterThan(a.conversion);
      for (const [of, truth] of [
        [a, rates.a],
        [b, rates.b],
      ] as const) {
        expect(of.conversion).toBeLessThan(2 * truth);
        expect(of.conversion).toBeGreaterThan(truth / 2);
        expect(of.trials).toBeGreaterThan(200);
      }
    }
  });

  it('whose conversions come after days is not understated for that, and is not called known before half is ripe', () => {
    const at = (hours: number) =>
      SEEDS.map((seed) => young({ seed, hours, requestsAnHour: 50, delayMs: days(2) })).map((s) => rateOf(s, 'a'));
    const holdsTruth = (of: ReturnType<typeof rateOf>): boolean => {
      const { low, high } = conversionInterval(of);
      return low <= TRUTH.a && TRUTH.a <= high;
    };
    const [second, seventh] = [at(48), at(168)];
    // A quarter of what comes within the window has come: what is open about the rest is in the interval.
    expect(second.filter((of) => of.enough)).toEqual([]);
    expect(second.filter(holdsTruth).length).toBeGreaterThanOrEqual(8);
    expect(mean(seventh.map((of) => of.conversion)) / TRUTH.a).toBeGreaterThan(0.95);
    expect(mean(seventh.map((of) => of.conversion)) / TRUTH.a).toBeLessThan(1.1);
    expect(seventh.filter(holdsTruth).length).toBeGreaterThanOrEqual(11);
    expect(seventh.filter((of) => of.enough).length).toBeGreaterThanOrEqual(11);
  });

  it('goes on from a snapshot as without one, and from one of before that says less', () => {
    const state = young({ seed: 1, hours: 2, requestsAnHour: 200, delayMs: withinAMinute });
    const kept = JSON.parse(JSON.stringify(snapshotConversion(state))) as ReturnType<typeof snapshotConversion>;
    const before = structuredClone(kept) as any;
    delete before.sinceMs;
    for (const [, segment] of before.segments)
      for (const own of [segment.all, ...segment.backends.map(([, trials]: any) => trials)]) delete own.ripeSpread;
    const nowMs = START_MS + 2 * HOUR_MS + 1;
    const [goesOn, restored, older] = [state, kept, before].map((one) => {
      const again = one === state ? state : restoreConversion(one, state.windowMs)!;
      learnTrial(again, { segment: SEGMENT, backend: 'a', requestedAtMs: nowMs, requests: 100 }, nowMs);
      return rateOf(again, 'a');
    });
    expect(restored!.conversion).toBeCloseTo(goesOn!.conversion, 6);
    expect(restored!.variance).toBeCloseTo(goesOn!.variance, 8);
    expect(older!.conversion / goesOn!.conversion).toBeGreaterThan(0.8);
    expect(older!.conversion / goesOn!.conversion).toBeLessThan(1.25);
  });
});

describe('what is believed of delays', () => {
  const none = Array.from({ length: DELAY_BINS }, () => 0);
  const firstOf = (came: readonly number[], exposed: readonly number[], above?: readonly number[]): number =>
    meanShares(supposedDelays(came, exposed, above))[0]!;
  /** Requests as old as to have been through so many bins. */
  const through = (bins: number, requests: number) => none.map((_, bin) => (bin < bins ? requests : 0));
  const atOnce = (conversions: number) => [conversions, ...none.slice(1)];

  it('moves to at once when all of many came so, the surer the older the requests without are', () => {
    const [seconds, hours, aDay] = [1, 10, 18].map((bins) => firstOf(atOnce(40), through(bins, 400)));
    expect(seconds).toBeGreaterThan(0.6);
    expect(hours).toBeGreaterThan(0.9);
    expect(aDay).toBeGreaterThan(hours!);
  });

  it('stays open while a few came at once, and all are young', () => {
    const first = firstOf(atOnce(2), through(1, 200));
    expect(first).toBeGreaterThan(0.05);
    expect(first).toBeLessThan(0.9);
  });

  it('of a segment is what it is above until its own say otherwise', () => {
    const late = meanShares([{ shares: none.map((_, bin) => (bin === DELAY_BINS - 3 ? 1 : 0)), chance: 1 }]);
    expect(firstOf(none, through(18, 100), late)).toBeLessThan(0.2);
    expect(firstOf(atOnce(20), through(18, 400), late)).toBeGreaterThan(0.9);
  });
});
