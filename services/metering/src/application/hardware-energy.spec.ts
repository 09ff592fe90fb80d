import { describe, expect, it } from 'vitest';
import { EXAMPLES, type HardwareMeasuredV1 } from '@meritorder/contracts';
import { energyByHour } from './hardware-energy.js';

const event = EXAMPLES.events['hardware.measured.v1'] as HardwareMeasuredV1;

describe('measured energy by hour', () => {
  it('a minute is in its hour', () => {
    expect(energyByHour('m', event)).toEqual([
      {
        messageId: 'm',
        host: 'gpu-1',
        hour: new Date('2026-11-24T09:00:00Z'),
        coveredMs: 60_000,
        millijoules: 105_925_673n,
        gpuUtilization: 0.83,
      },
    ]);
  });

  it('a stretch over the end of an hour is split to the last millijoule', () => {
    const rows = energyByHour('m', {
      ...event,
      from: '2026-11-24T09:59:20.000Z',
      to: '2026-11-24T10:00:20.000Z',
      coveredMs: 59_999,
      millijoules: 100_001,
    });
    expect(rows.map((r) => [r.hour.toISOString(), r.coveredMs, r.millijoules])).toEqual([
      ['2026-11-24T09:00:00.000Z', 39_999, 66_667n],
      ['2026-11-24T10:00:00.000Z', 20_000, 33_334n],
    ]);
    expect(rows.reduce((sum, r) => sum + r.millijoules, 0n)).toBe(100_001n);
  });

  it.each([
    ['ends before it begins', { to: '2026-11-24T09:29:00.000Z' }],
    ['lasts a day', { to: '2026-11-25T09:29:00.000Z' }],
    ['covers more than it lasts', { coveredMs: 60_001 }],
  ])('a stretch that %s is refused', (_name, over) => {
    expect(() => energyByHour('m', { ...event, ...over })).toThrow(RangeError);
  });
});
