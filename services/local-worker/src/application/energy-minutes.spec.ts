import { describe, expect, it } from 'vitest';
import { seededRandom } from '@meritorder/kernel';
import { addSample, NOTHING_MEASURED, type EnergyMinute, type PowerSample } from './energy-minutes.js';

const AT = Date.parse('2026-11-24T10:00:00Z');
const sample = (seconds: number, watts: number, utilization?: number): PowerSample => ({
  atMs: AT + seconds * 1_000,
  readings: [{ kind: 'power', watts, utilization }],
});
const run = (samples: (PowerSample | undefined)[]): EnergyMinute[] => {
  let state = NOTHING_MEASURED;
  return samples.flatMap((one) => {
    const next = addSample(state, one);
    state = next.state;
    return next.finished;
  });
};
const every = (fromSecond: number, toSecond: number, watts: number): PowerSample[] =>
  Array.from({ length: Math.floor((toSecond - fromSecond) / 5) + 1 }, (_, i) => sample(fromSecond + i * 5, watts));

describe('energy by the minute of the wall clock', () => {
  it('700 W for two minutes are 42 kJ each', () => {
    expect(run(every(0, 120, 700))).toEqual([
      { fromMs: AT, coveredMs: 60_000, millijoules: 42_000_000, gpuUtilization: undefined },
      { fromMs: AT + 60_000, coveredMs: 60_000, millijoules: 42_000_000, gpuUtilization: undefined },
    ]);
  });

  it('a stretch over the end of a minute is in both', () => {
    const [first] = run([sample(58, 600), sample(63, 600), ...every(68, 123, 600)]);
    expect(first).toMatchObject({ coveredMs: 2_000, millijoules: 1_200_000 });
  });

  it('a worker that starts within a minute has only its rest', () => {
    expect(run(every(40, 70, 100))[0]).toMatchObject({ fromMs: AT, coveredMs: 20_000, millijoules: 2_000_000 });
  });

  it.each<[string, (PowerSample | undefined)[]]>([
    ['a meter that does not answer', [...every(0, 20, 100), undefined, ...every(40, 65, 100)]],
    ['a pause of more than 20 s', [...every(0, 20, 100), ...every(45, 65, 100)]],
    ['a clock that went back', [...every(0, 20, 100), ...every(10, 65, 100)]],
  ])('%s leaves time uncovered, and no energy without time', (_name, samples) => {
    const [minute] = run(samples);
    expect(minute!.millijoules).toBe(minute!.coveredMs * 100);
    expect(minute!.coveredMs).toBeLessThanOrEqual(60_000);
  });

  it('utilization is the mean over time, where it is known', () => {
    expect(
      run([sample(0, 1, 0.2), sample(10, 1, 0.4), sample(20, 1), sample(30, 1), sample(61, 1), sample(62, 1)]),
    ).toEqual([{ fromMs: AT, coveredMs: 30_000, millijoules: 30_000, gpuUtilization: expect.closeTo(0.3, 9) }]);
  });

  it('no energy is lost or made: minutes sum to the whole, for irregular samples', () => {
    const random = seededRandom(3);
    const samples: PowerSample[] = [];
    for (let ms = 0; ms < 1_020_000; ms += 1_000 + Math.floor(random() * 15_000))
      samples.push(sample(ms / 1_000, random() * 3_000));
    samples.push(sample(1_020, 0));
    const watts = samples.map(({ readings: [one] }) => (one!.kind === 'power' ? one!.watts : NaN));
    const expected = samples
      .slice(1)
      .reduce((sum, s, i) => sum + ((watts[i]! + watts[i + 1]!) / 2) * (s.atMs - samples[i]!.atMs), 0);
    const minutes = run(samples);
    expect(minutes.map((m) => m.coveredMs)).toEqual(Array.from({ length: 17 }, () => 60_000));
    // Each minute is rounded to the millijoule.
    expect(Math.abs(minutes.reduce((sum, m) => sum + m.millijoules, 0) - expected)).toBeLessThan(9);
  });
});
