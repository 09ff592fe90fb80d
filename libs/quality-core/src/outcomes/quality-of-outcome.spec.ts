import { describe, expect, it } from 'vitest';
import { qualityOfOutcome, type OutcomeReading, type ReportedOutcome } from './quality-of-outcome.js';

const q = (value: number, weight: number): OutcomeReading => ({ quality: { value, weight } });

describe('what an outcome says of an answer', () => {
  it.each<[ReportedOutcome, OutcomeReading]>([
    [{ kind: 'thumbs', value: true }, q(1, 1)],
    [{ kind: 'thumbs', value: false }, q(0, 1)],
    [{ kind: 'judge', value: 0.62 }, q(0.62, 1)],
    [{ kind: 'judge', value: 0 }, q(0, 1)],
    [{ kind: 'edit', value: 0.9 }, q(0.9, 0.7)],
    [{ kind: 'retry' }, q(0, 0.5)],
    [{ kind: 'schema', value: false }, q(0, 0.3)],
    [{ kind: 'schema', value: true }, q(1, 0.3)],
    [{ kind: 'conversion' }, { converted: true }],
    [{ kind: 'conversion', value: true }, { converted: true }],
    [{ kind: 'conversion', value: false }, { converted: false }],
  ])('%j is %j', (reported, expected) => {
    expect(qualityOfOutcome(reported)).toEqual(expected);
  });

  it.each([0.99, 0.97, 0.95, 0.9])('of answers that are all checked, %d of them valid, the mean is that', (share) => {
    const read = (value: boolean) => qualityOfOutcome({ kind: 'schema', value })!.quality!;
    const [valid, invalid] = [read(true), read(false)];
    const mean =
      (share * valid.weight * valid.value + (1 - share) * invalid.weight * invalid.value) /
      (share * valid.weight + (1 - share) * invalid.weight);
    expect(mean).toBeCloseTo(share, 9);
  });

  it.each<ReportedOutcome>([
    { kind: 'thumbs' },
    { kind: 'thumbs', value: 1 },
    { kind: 'schema', value: 0.5 },
    { kind: 'judge' },
    { kind: 'judge', value: true },
    { kind: 'judge', value: 1.01 },
    { kind: 'edit', value: Number.NaN },
    { kind: 'conversion', value: 0.5 },
  ])('%j is no outcome of its kind', (reported) => {
    expect(qualityOfOutcome(reported)).toBeUndefined();
  });
});
