import { expect, it } from 'vitest';
import { windowAt } from '@meritorder/budget-core';
import type { WindowKind } from '@meritorder/contracts';
import { windowBefore, windowNamed } from './window-named.js';

const ZONES = [
  'UTC',
  'Pacific/Kiritimati',
  'Etc/GMT+12',
  'Asia/Kolkata',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Europe/Berlin',
];

it('every window is found again by its id, in every zone, over two years', () => {
  const start = Date.UTC(2027, 0, 1);
  for (const zone of ZONES) {
    for (let hour = 0; hour < 24 * 731; hour += 31) {
      const now = start + hour * 3_600_000;
      for (const kind of ['day', 'week', 'month', 'total'] as WindowKind[]) {
        const window = windowAt(kind, zone, now);
        expect(windowNamed(kind, zone, window.id)).toEqual(window);
      }
    }
  }
});

it('an id of another kind names no window', () => {
  expect(windowNamed('month', 'UTC', '2026-11-24')).toBeUndefined();
  expect(windowNamed('day', 'UTC', 'total')).toBeUndefined();
});

it('the window before ends where this one begins; a total has none', () => {
  const now = Date.parse('2026-03-01T00:00:00Z');
  expect(windowBefore('month', 'UTC', now)).toMatchObject({ id: '2026-02', endMs: now });
  expect(windowBefore('total', 'UTC', now)).toBeUndefined();
});
