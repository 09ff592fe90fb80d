import { describe, expect, it } from 'vitest';
import {
  isCountedZone,
  MeterUnreadable,
  millijoulesBetween,
  parseMicrojoules,
  parseNvidiaSmi,
  type MeterReading,
} from './power-meters.js';

describe('nvidia-smi', () => {
  it.each<[string, string, number, object]>([
    ['two GPUs', '0, 61.75, 0\n1, 320.50, 98\n', 2, { watts: 382.25, utilization: 0.49 }],
    ['one, with Windows line ends', '0, 72, 100\r\n', 1, { watts: 72, utilization: 1 }],
    ['a partitioned GPU says no utilization', '0, 100.5, [N/A]\n', 1, { watts: 100.5, utilization: undefined }],
  ])('%s', (_name, text, gpus, expected) => {
    expect(parseNvidiaSmi(text, gpus)).toEqual({ kind: 'power', ...expected });
  });

  it.each<[string, string, number, RegExp]>([
    ['a GPU without power', '0, 61.85, 0\n1, [N/A], 3\n', 2, /GPU 1 gives no power but "\[N\/A\]"/],
    ['one that is not supported', '0, [Not Supported], 0\n', 1, /GPU 0 gives no power/],
    ['fewer than configured', '0, 61.85, 0\n', 8, /sees 1 GPUs and the configuration has 8/],
    ['more than configured', '0, 61.85, 0\n1, 61.85, 0\n', 1, /sees 2/],
    ['no driver', 'No devices were found\n', 1, /sees 0/],
    ['nothing at all', '', 1, /sees 0/],
  ])('%s is unreadable, not zero', (_name, text, gpus, why) => {
    expect(() => parseNvidiaSmi(text, gpus)).toThrow(MeterUnreadable);
    expect(() => parseNvidiaSmi(text, gpus)).toThrow(why);
  });
});

describe('energy counters', () => {
  it.each([
    ['package-0', true],
    ['package-1-die-0', true],
    ['dram', true],
    ['core', false],
    ['uncore', false],
    ['psys', false],
  ])('the zone %s adds up: %s', (name, counted) => {
    expect(isCountedZone(name)).toBe(counted);
  });

  it('a file without a number is unreadable', () => {
    expect(parseMicrojoules('123\n', 'f')).toBe(123n);
    for (const text of ['', '-5', '1e9', 'x']) expect(() => parseMicrojoules(text, 'f')).toThrow(MeterUnreadable);
  });
});

describe('energy between two readings', () => {
  const power = (watts: number): MeterReading => ({ kind: 'power', watts, utilization: undefined });
  const energy = (...zones: [string, bigint][]): MeterReading => ({
    kind: 'energy',
    zones: zones.map(([zone, microjoules]) => ({ zone, microjoules, rangeMicrojoules: 262_143_328_850n })),
  });

  it.each<[string, MeterReading, MeterReading, number]>([
    ['of a draw, the mean of both ends over time', power(100), power(300), 200 * 5_000],
    ['of a counter, the difference', energy(['a', 1_000_000n]), energy(['a', 3_500_000n]), 2_500],
    ['of several, their sum', energy(['a', 0n], ['b', 0n]), energy(['a', 1_000n], ['b', 2_000n]), 3],
    ['over the end of its range', energy(['a', 262_143_328_000n]), energy(['a', 999_150n]), 1_000],
    ['of a zone that has just appeared, nothing', energy(), energy(['a', 9_999n]), 0],
  ])('%s', (_name, before, after, millijoules) => {
    expect(millijoulesBetween(before, after, 5_000)).toBe(millijoules);
  });
});
