import { windowAt, type BudgetWindow } from '@meritorder/budget-core';
import type { WindowKind } from '@meritorder/contracts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The window of a kind that has this id. Undefined: the id is of another kind. */
export function windowNamed(kind: WindowKind, timeZone: string, id: string): BudgetWindow | undefined {
  const inside = instantsInside(id).map((ms) => windowAt(kind, timeZone, ms));
  return inside.find((window) => window.id === id);
}

/** The window before the one that contains an instant. Undefined: a total has none. */
export function windowBefore(kind: WindowKind, timeZone: string, nowMs: number): BudgetWindow | undefined {
  const { startMs } = windowAt(kind, timeZone, nowMs);
  return startMs === null ? undefined : windowAt(kind, timeZone, startMs - 1);
}

/** Instants of which one lies in the window, in whatever zone: no zone is more than 14 hours from UTC. */
function instantsInside(id: string): number[] {
  if (id === 'total') return [0];
  const week = /^(\d{4})-W(\d{2})$/.exec(id);
  if (week) {
    // The fourth of January is always in week 1.
    const fourth = Date.UTC(Number(week[1]), 0, 4);
    const monday = fourth - ((new Date(fourth).getUTCDay() + 6) % 7) * DAY_MS;
    return [monday + ((Number(week[2]) - 1) * 7 + 3) * DAY_MS];
  }
  const month = /^(\d{4})-(\d{2})$/.exec(id);
  if (month) return [Date.UTC(Number(month[1]), Number(month[2]) - 1, 15)];
  const day = Date.parse(`${id}T12:00:00Z`);
  return Number.isNaN(day) ? [] : [day, day - 12 * HOUR_MS, day + 12 * HOUR_MS];
}
