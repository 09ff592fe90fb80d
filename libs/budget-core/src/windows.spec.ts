import { describe, expect, it } from 'vitest';
import { windowAt } from './index.js';

const at = (text: string): number => Date.parse(text);
const hours = (w: { startMs: number | null; endMs: number | null }): number => (w.endMs! - w.startMs!) / 3_600_000;

describe('the window of a budget', () => {
  it.each([
    ['day', 'UTC', '2026-11-24T23:59:59Z', '2026-11-24', '2026-11-24T00:00:00Z', 24],
    ['day', 'Asia/Tokyo', '2026-11-24T15:00:00Z', '2026-11-25', '2026-11-24T15:00:00Z', 24],
    ['day', 'Asia/Kolkata', '2026-11-24T18:29:59Z', '2026-11-24', '2026-11-23T18:30:00Z', 24],
    ['day', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-29', '2026-03-28T23:00:00Z', 23],
    ['day', 'Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-25', '2026-10-24T22:00:00Z', 25],
    ['day', 'America/New_York', '2026-03-08T12:00:00Z', '2026-03-08', '2026-03-08T05:00:00Z', 23],
    ['month', 'UTC', '2028-02-29T10:00:00Z', '2028-02', '2028-02-01T00:00:00Z', 29 * 24],
    ['month', 'UTC', '2026-01-31T23:59:59.999Z', '2026-01', '2026-01-01T00:00:00Z', 31 * 24],
    ['month', 'Europe/Berlin', '2026-03-15T00:00:00Z', '2026-03', '2026-02-28T23:00:00Z', 31 * 24 - 1],
    ['week', 'UTC', '2026-11-24T00:00:00Z', '2026-W48', '2026-11-23T00:00:00Z', 168],
    ['week', 'UTC', '2027-01-01T00:00:00Z', '2026-W53', '2026-12-28T00:00:00Z', 168],
  ] as const)('%s in %s at %s is %s', (kind, zone, instant, id, start, length) => {
    const window = windowAt(kind, zone, at(instant));
    expect(window.id).toBe(id);
    expect(window.startMs).toBe(at(start));
    expect(hours(window)).toBe(length);
  });

  it('total has no edges', () => {
    expect(windowAt('total', 'UTC', 0)).toEqual({ id: 'total', startMs: null, endMs: null });
  });

  it('windows follow each other without a gap for two years in every zone tried', () => {
    for (const zone of ['UTC', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Sao_Paulo', 'Pacific/Apia']) {
      let instant = at('2026-01-01T12:00:00Z');
      for (let i = 0; i < 730; i++) {
        const day = windowAt('day', zone, instant);
        expect(windowAt('day', zone, day.endMs! - 1).id).toBe(day.id);
        const next = windowAt('day', zone, day.endMs!);
        expect(next.startMs).toBe(day.endMs);
        expect(next.id > day.id).toBe(true);
        instant = day.endMs!;
      }
    }
  });
});
