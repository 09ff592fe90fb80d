import { expect, it } from 'vitest';
import type { PacedBudgetRow } from '@meritorder/contracts';
import { pinRequest, policyTable } from './policy.js';

const ROW: PacedBudgetRow = {
  budget: 'acme-month',
  name: 'Acme',
  org: 'acme',
  window: '2026-11',
  windowEnd: '2026-11-30T23:00:00.000Z',
  basis: 'cash',
  pacing: 'projected',
  limitNanos: '500000000000',
  spentNanos: '410000000000',
  unconstrained: { expectedUsd: 530.2, lowUsd: 512.1, highUsd: 548.9, chanceAboveLimit: 0.7999 },
  withPacing: { expectedUsd: 496, lowUsd: 494, highUsd: 496, chanceAboveLimit: 0 },
  stage: 'tighten',
  shadowPrice: 0.90412,
  spareRoomNanos: '1250000',
  pinned: true,
  paused: false,
  by: 'ada',
  reason: 'tighten: an operator pinned it (ada: launch)',
  changedAt: null,
};

it('a row says what is spent, how it will end, and why, and rounds over no threshold', () => {
  const lines = policyTable([ROW]).split('\n');
  expect(lines[2]).toMatch(
    /acme-month +2026-11 +410\.00 +500\.00 +530\.20 \[512\.10, 548\.90\] +79\.9 % +tighten, pinned +0\.904/,
  );
  expect(lines[3]).toContain('ada: launch');
  expect(lines[4]).toContain('with pacing 496.00 [494.00, 496.00]');
  expect(lines[5]).toBe("  0.00125 to spare: only a request's cheapest attempt may hold more");
  expect(policyTable([{ ...ROW, spareRoomNanos: null }])).not.toContain('to spare');
});

it('a pin holds a stage or a price, and nothing else', () => {
  expect(pinRequest('b', 'warn', { by: 'ada' })).toMatchObject({ verb: 'pin', stage: 'warn', reason: '' });
  expect(pinRequest('b', undefined, { by: 'ada', shadowPrice: '0' })).toMatchObject({ shadowPrice: 0 });
  expect(() => pinRequest('b', undefined, { by: 'ada' })).toThrow('pin a stage');
  expect(() => pinRequest('b', 'warn', { by: 'ada', shadowPrice: '1' })).toThrow('pin a stage');
  expect(() => pinRequest('b', 'wran', { by: 'ada' })).toThrow('stage');
  expect(() => pinRequest('b', undefined, { by: 'ada', shadowPrice: '-1' })).toThrow('shadowPrice');
});
