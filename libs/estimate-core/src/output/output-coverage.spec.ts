import { describe, expect, it } from 'vitest';
import { tracesOf } from '../traces.for-tests.js';
import { estimateOutput, learnOutput, unlearnedLengths, type OutputLengths } from './output-lengths.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');
const print = process.env['MERITORDER_PRINT'] === '1';
/** What is held where nothing is known: the usual default of max_tokens. */
const FLAT_HOLD_TOKENS = 4_096;
/** Answers that are not known yet when a request is estimated: about what is in flight in these traces. */
const LAG = 64;
const MOST_POINTS = 1.5;

interface Held {
  /** Shares of the held-back answers that were no longer than stated, percent. */
  p95: number;
  p99: number;
  /** Tokens held at each quantile, and flat, for each token that was generated. */
  holdP95: number;
  holdP99: number;
  holdFlat: number;
  expectedToActual: number;
}

/** Learns the first part, then states and judges the held-back rest; `learning`: goes on learning what has arrived. */
function heldBack(lengths: readonly number[], from: number, learning: boolean): Held {
  const key: OutputLengths = unlearnedLengths();
  for (const tokens of lengths.slice(0, from)) learnOutput([key], { tokens, maxTokens: FLAT_HOLD_TOKENS * 16 });
  const sums = { p95: 0, p99: 0, holdP95: 0, holdP99: 0, expected: 0, actual: 0 };
  const waiting: Parameters<typeof learnOutput>[1][] = [];
  const rest = lengths.slice(from);
  for (const tokens of rest) {
    const stated = estimateOutput([key], FLAT_HOLD_TOKENS * 16);
    sums.p95 += tokens <= stated.p95 ? 100 : 0;
    sums.p99 += tokens <= stated.p99 ? 100 : 0;
    sums.holdP95 += stated.p95;
    sums.holdP99 += stated.p99;
    sums.expected += stated.expected;
    sums.actual += tokens;
    waiting.push({ tokens, maxTokens: FLAT_HOLD_TOKENS * 16, stated });
    if (learning && waiting.length > LAG) learnOutput([key], waiting.shift()!);
  }
  return {
    p95: sums.p95 / rest.length,
    p99: sums.p99 / rest.length,
    holdP95: sums.holdP95 / sums.actual,
    holdP99: sums.holdP99 / sums.actual,
    holdFlat: (FLAT_HOLD_TOKENS * rest.length) / sums.actual,
    expectedToActual: sums.expected / sums.actual,
  };
}

function report(name: string, part: string, held: Held): void {
  if (!print) return;
  console.log(
    `${name} ${part}: p95 covers ${held.p95.toFixed(2)} %, p99 ${held.p99.toFixed(2)} %; held for each token generated ` +
      `${held.holdP95.toFixed(1)} at p95, ${held.holdP99.toFixed(1)} at p99, ${held.holdFlat.toFixed(1)} at 4,096; ` +
      `expected ${held.expectedToActual.toFixed(2)} of actual`,
  );
}

describe.skipIf(!data)('learned lengths on the traces (MERITORDER_TEST_DATA)', () => {
  const traces = data ? tracesOf(data) : [];

  it('there are traces', () => expect(traces.length).toBeGreaterThan(0));

  it.each(traces.map((trace) => trace.name))(
    '%s: on the held-back second half, p95 and p99 cover within 1.5 points of nominal',
    { timeout: 60_000 },
    (name) => {
      const lengths = traces.find((trace) => trace.name === name)!.requests.map((request) => request.outputTokens);
      const half = Math.floor(lengths.length / 2);
      const online = heldBack(lengths, half, true);
      const frozen = heldBack(lengths, half, false);
      report(name, 'second half, learning on', online);
      report(name, 'second half, frozen', frozen);
      expect(Math.abs(online.p95 - 95)).toBeLessThanOrEqual(MOST_POINTS);
      expect(Math.abs(online.p99 - 99)).toBeLessThanOrEqual(MOST_POINTS);
      // Far less is held than a flat 4,096 at the same certainty.
      expect(online.holdP99).toBeLessThan(online.holdFlat);
    },
  );

  it.each(traces.map((trace) => trace.name))(
    '%s: the same holds for the first half, learned from the second, and for the last 70 %',
    { timeout: 60_000 },
    (name) => {
      const lengths = traces.find((trace) => trace.name === name)!.requests.map((request) => request.outputTokens);
      const splits: [string, readonly number[], number][] = [
        ['first half from the second', lengths.toReversed(), Math.floor(lengths.length / 2)],
        ['last 70 %', lengths, Math.floor(lengths.length * 0.3)],
      ];
      for (const [part, all, from] of splits) {
        const held = heldBack(all, from, true);
        report(name, `${part}, learning on`, held);
        expect(Math.abs(held.p95 - 95)).toBeLessThanOrEqual(MOST_POINTS);
        expect(Math.abs(held.p99 - 99)).toBeLessThanOrEqual(MOST_POINTS);
      }
    },
  );
});
