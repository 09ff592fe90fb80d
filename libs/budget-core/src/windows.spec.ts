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

  it.each([
    ['day', 'Asia/Kathmandu', '2026-11-24T18:14:59.999Z', '2026-11-24', '2026-11-23T18:15:00Z', 24],
    ['day', 'Asia/Kathmandu', '2026-11-24T18:15:00Z', '2026-11-25', '2026-11-24T18:15:00Z', 24],
    ['day', 'Australia/Adelaide', '2026-10-04T00:00:00Z', '2026-10-04', '2026-10-03T14:30:00Z', 23],
    ['day', 'Australia/Adelaide', '2026-04-05T00:00:00Z', '2026-04-05', '2026-04-04T13:30:00Z', 25],
    // Half an hour of daylight saving.
    ['day', 'Australia/Lord_Howe', '2026-10-04T00:00:00Z', '2026-10-04', '2026-10-03T13:30:00Z', 23.5],
    ['day', 'Australia/Lord_Howe', '2026-04-05T00:00:00Z', '2026-04-05', '2026-04-04T13:00:00Z', 24.5],
    ['week', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-W13', '2026-03-22T23:00:00Z', 167],
    ['week', 'Asia/Kolkata', '2026-11-22T18:30:00Z', '2026-W48', '2026-11-22T18:30:00Z', 168],
    ['month', 'Asia/Kolkata', '2026-01-31T18:29:59.999Z', '2026-01', '2025-12-31T18:30:00Z', 31 * 24],
    ['month', 'Asia/Kolkata', '2026-01-31T18:30:00Z', '2026-02', '2026-01-31T18:30:00Z', 28 * 24],
    ['month', 'Asia/Kolkata', '2028-02-29T18:29:59Z', '2028-02', '2028-01-31T18:30:00Z', 29 * 24],
    ['month', 'America/Sao_Paulo', '2026-12-31T23:59:59Z', '2026-12', '2026-12-01T03:00:00Z', 31 * 24],
  ] as const)(
    '%s in %s at %s is %s (half-hour zones, clock changes, ends of months; pitfall 8)',
    (kind, zone, instant, id, start, length) => {
      const window = windowAt(kind, zone, at(instant));
      expect(window.id).toBe(id);
      expect(window.startMs).toBe(at(start));
      expect(hours(window)).toBe(length);
    },
  );

  it('31 January plus a month is the last day of February, and the months between have no gap', () => {
    for (const zone of ['UTC', 'Asia/Kolkata', 'Europe/Berlin']) {
      const january = windowAt('month', zone, at('2026-01-31T12:00:00Z'));
      const february = windowAt('month', zone, january.endMs!);
      const march = windowAt('month', zone, february.endMs!);
      expect([january.id, february.id, march.id]).toEqual(['2026-01', '2026-02', '2026-03']);
      expect(february.startMs).toBe(january.endMs);
      expect(march.startMs).toBe(february.endMs);
    }
  });

  it('after a change of zone the window of the new zone counts, which contains the instant too', () => {
    const instant = at('2026-11-24T20:00:00Z');
    const before = windowAt('day', 'America/New_York', instant);
    const after = windowAt('day', 'Asia/Tokyo', instant);
    expect([before.id, after.id]).toEqual(['2026-11-24', '2026-11-25']);
    for (const window of [before, after]) {
      expect(window.startMs!).toBeLessThanOrEqual(instant);
      expect(window.endMs!).toBeGreaterThan(instant);
    }
    // Where both zones agree on the day, the spend of the day goes on counting.
    expect(windowAt('day', 'Asia/Kolkata', at('2026-11-24T10:00:00Z')).id).toBe(
      windowAt('day', 'Europe/Berlin', at('2026-11-24T10:00:00Z')).id,
    );
  });

  it('ends after now and at most its own length later, in every zone and kind (pitfall 9)', () => {
    const longest = { day: 25, week: 169, month: 31 * 24 + 1 };
    for (const zone of [
      'UTC',
      'Asia/Kolkata',
      'Asia/Tokyo',
      'Australia/Lord_Howe',
      'America/St_Johns',
      'Pacific/Chatham',
    ]) {
      for (let instant = at('2026-01-01T00:00:00Z'); instant < at('2029-01-01T00:00:00Z'); instant += 31_337_000 * 7) {
        for (const kind of ['day', 'week', 'month'] as const) {
          const { startMs, endMs } = windowAt(kind, zone, instant);
          expect(startMs! <= instant && instant < endMs!).toBe(true);
          expect(endMs! - instant).toBeLessThanOrEqual(longest[kind] * 3_600_000);
        }
      }
    }
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
