import { describe, expect, it } from 'vitest';
import { HostConfig } from '@meritorder/contracts';
import { dayProfile, hostOf, meanPrice, tariffSpans, toNumber, weekMean, type Tariff } from './index.js';

const HOUR = 3_600_000;
const tariff = (timeZone: string, bands: object[]): Tariff =>
  hostOf(
    HostConfig.parse({
      id: 'h',
      gpus: 1,
      rented: { usdPerGpuHour: '1' },
      power: { idleWattsPerGpu: 0, loadWattsPerGpu: 1, usdPerKilowattHour: '0.30', timeZone, tariff: bands },
    }),
  ).power!.tariff;
const night = { fromHour: 22, toHour: 6, usdPerKilowattHour: '0.10' };
const spans = (t: Tariff, fromMs: number, toMs: number): string[] =>
  tariffSpans(t, fromMs, toMs).map((s) => `${(s.toMs - s.fromMs) / HOUR} h at ${(toNumber(s.price) / 1e9).toFixed(2)}`);

describe('a tariff by the hours of its zone', () => {
  const berlin = tariff('Europe/Berlin', [night]);

  it.each([
    ['an ordinary day', '2026-11-24T23:00Z', '2026-11-25T23:00Z', ['6 h at 0.10', '16 h at 0.30', '2 h at 0.10']],
    // 02:00 to 03:00 does not exist.
    ['the day of 23 hours', '2026-03-28T23:00Z', '2026-03-29T22:00Z', ['5 h at 0.10', '16 h at 0.30', '2 h at 0.10']],
    // 02:00 to 03:00 is there twice.
    ['the day of 25 hours', '2026-10-24T22:00Z', '2026-10-25T23:00Z', ['7 h at 0.10', '16 h at 0.30', '2 h at 0.10']],
    ['a part of an hour', '2026-11-25T04:45Z', '2026-11-25T05:15Z', ['0.25 h at 0.10', '0.25 h at 0.30']],
    ['no time', '2026-11-25T04:45Z', '2026-11-25T04:45Z', []],
  ])('%s', (_name, from, to, expected) => {
    expect(spans(berlin, Date.parse(from), Date.parse(to))).toEqual(expected);
  });

  it('a zone that is not whole hours from UTC changes price within a UTC hour', () => {
    const kolkata = tariff('Asia/Kolkata', [night]);
    // 06:00 in Kolkata is 00:30 UTC.
    expect(spans(kolkata, Date.parse('2026-11-25T00:00Z'), Date.parse('2026-11-25T01:00Z'))).toEqual([
      '0.5 h at 0.10',
      '0.5 h at 0.30',
    ]);
  });

  it('a zone that changes by half an hour keeps its hours', () => {
    const lordHowe = tariff('Australia/Lord_Howe', [{ fromHour: 2, toHour: 3, usdPerKilowattHour: '0.05' }]);
    // Clocks go from 02:00 back to 01:30, so two o'clock itself is an ordinary hour afterwards.
    expect(spans(lordHowe, Date.parse('2026-04-04T14:30Z'), Date.parse('2026-04-04T17:00Z'))).toEqual([
      '1 h at 0.30',
      '1 h at 0.05',
      '0.5 h at 0.30',
    ]);
  });

  it('bands count on their own days, and the first that holds wins', () => {
    const t = tariff('UTC', [{ days: ['sat', 'sun'], fromHour: 0, toHour: 24, usdPerKilowattHour: '0.05' }, night]);
    // Friday to Saturday: the night of Friday ends at midnight, since Saturday has a price of its own.
    expect(spans(t, Date.parse('2026-11-27T20:00Z'), Date.parse('2026-11-28T04:00Z'))).toEqual([
      '2 h at 0.30',
      '2 h at 0.10',
      '4 h at 0.05',
    ]);
  });
});

describe('averages', () => {
  it('of a period weigh time', () => {
    const t = tariff('UTC', [night]);
    const mean = meanPrice(t, Date.parse('2026-11-25T00:00Z'), Date.parse('2026-11-26T00:00Z'));
    expect(toNumber(mean) / 1e9).toBeCloseTo((8 * 0.1 + 16 * 0.3) / 24, 12);
    expect(toNumber(meanPrice(t, 5, 5))).toBe(0);
  });

  it('of a week weigh its days', () => {
    const t = tariff('UTC', [{ days: ['sat', 'sun'], fromHour: 0, toHour: 24, usdPerKilowattHour: '0.10' }]);
    expect(toNumber(weekMean(t)) / 1e9).toBeCloseTo((5 * 0.3 + 2 * 0.1) / 7, 12);
    expect(new Set(dayProfile(t).map(toNumber)).size).toBe(1);
  });
});
