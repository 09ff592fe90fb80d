import { describe, expect, it } from 'vitest';
import { dayMs, instantMs, isDayText } from './instant.js';

describe('an instant', () => {
  it.each([
    ['2026-11-01T00:00:00Z', Date.UTC(2026, 10, 1)],
    ['2026-11-01 18:15:46', Date.UTC(2026, 10, 1, 18, 15, 46)],
    ['2026-11-01T18:15Z', Date.UTC(2026, 10, 1, 18, 15)],
    ['2026-11-01T23:59:59.500+01:30', Date.UTC(2026, 10, 1, 22, 29, 59, 500)],
    ['2026-11-01 00:00:00.0005', Date.UTC(2026, 10, 1) + 0.5],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
  ])('%s is read, in UTC unless it names another offset', (text, ms) => {
    expect(instantMs(text)).toBe(ms);
  });

  it.each([
    ['2026-02-31T00:00:00Z', 'there is no day 2026-02-31'],
    ['2025-02-29 00:00:00', 'there is no day 2025-02-29'],
    ['2026-13-01T00:00:00Z', 'there is no day 2026-13-01'],
    ['2026-11-00T00:00:00Z', 'there is no day 2026-11-00'],
    ['2026-11-01T24:00:00Z', 'there is no time of day 24:00:00'],
    ['2026-11-01T23:60', 'there is no time of day 23:60'],
    ['2026-11-01T23:59:60Z', 'there is no time of day 23:59:60'],
    ['2026-11-01T00:00:00+24:00', 'there is no offset +24:00 from UTC'],
    ['2026-11-01', 'it is not written like 2026-11-01T00:00:00Z'],
    ['2026-11-01T00:00:00Zulu', 'it is not written like 2026-11-01T00:00:00Z'],
    ['1790000000', 'it is not written like 2026-11-01T00:00:00Z'],
  ])('%s is refused with what is wrong', (text, reason) => {
    expect(() => instantMs(text)).toThrow(new RangeError(reason));
  });
});

describe('a day', () => {
  it('begins at midnight in UTC', () => {
    expect(isDayText('2026-11-01')).toBe(true);
    expect(dayMs('2026-11-01')).toBe(Date.UTC(2026, 10, 1));
  });

  it.each([
    ['2026-02-31', 'there is no day 2026-02-31'],
    ['2026-2-3', 'it is not written like 2026-11-01'],
  ])('%s is refused with what is wrong', (text, reason) => {
    expect(() => dayMs(text)).toThrow(new RangeError(reason));
  });
});
