import { Temporal } from 'temporal-polyfill';
import type { WindowKind } from '@meritorder/contracts';

/** One window of a budget, as UTC instants. A day has 23 to 25 hours where clocks change. */
export interface BudgetWindow {
  /** `2026-11-24`, `2026-W48`, `2026-11` or `total`. */
  id: string;
  startMs: number | null;
  endMs: number | null;
}

const TOTAL: BudgetWindow = { id: 'total', startMs: null, endMs: null };
const latest = new Map<string, BudgetWindow>();
const REMEMBERED_ZONES = 2_000;

/**
 * The window of a kind that contains an instant, in an IANA time zone.
 * The last window of each (kind, zone) is remembered: a pure memo, so that a decision does no calendar arithmetic.
 */
export function windowAt(kind: WindowKind, timeZone: string, instantMs: number): BudgetWindow {
  if (kind === 'total') return TOTAL;
  const memo = `${kind} ${timeZone}`;
  const known = latest.get(memo);
  if (known && known.startMs! <= instantMs && instantMs < known.endMs!) return known;
  const window = compute(kind, timeZone, instantMs);
  if (latest.size >= REMEMBERED_ZONES) latest.clear();
  latest.set(memo, window);
  return window;
}

function compute(kind: Exclude<WindowKind, 'total'>, timeZone: string, instantMs: number): BudgetWindow {
  const date = Temporal.Instant.fromEpochMilliseconds(instantMs).toZonedDateTimeISO(timeZone).toPlainDate();
  const [first, id] = firstDay(kind, date);
  const next = first.add(kind === 'day' ? { days: 1 } : kind === 'week' ? { days: 7 } : { months: 1 });
  const startOf = (day: Temporal.PlainDate): number => day.toZonedDateTime(timeZone).startOfDay().epochMilliseconds;
  return { id, startMs: startOf(first), endMs: startOf(next) };
}

function firstDay(kind: 'day' | 'week' | 'month', date: Temporal.PlainDate): [Temporal.PlainDate, string] {
  switch (kind) {
    case 'day':
      return [date, date.toString()];
    case 'week':
      return [
        date.subtract({ days: date.dayOfWeek - 1 }),
        `${date.yearOfWeek}-W${String(date.weekOfYear).padStart(2, '0')}`,
      ];
    case 'month':
      return [date.with({ day: 1 }), date.toPlainYearMonth().toString()];
  }
}
