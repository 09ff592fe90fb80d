import { expect, it } from 'vitest';
import { decideCarry } from './decide-carry.js';
import { MONTH } from './fixture.for-tests.js';

const base = {
  definition: { ...MONTH, carryOver: { maxShare: 0.5 } },
  carriedBefore: undefined,
  fromWindow: '2026-10',
  window: '2026-11',
  spentNanos: 700n,
  carried: undefined,
};
const first = {
  budget: 'org',
  window: '2026-11',
  revision: 1,
  fromWindow: '2026-10',
  nanos: 300n,
  limitNanos: 1_000n,
  spentNanos: 700n,
};

it('what is left is carried once, with what it was computed from', () => {
  expect(decideCarry(base)).toEqual(first);
  expect(decideCarry({ ...base, carried: first })).toBeUndefined();
});

it('an unconfirmed charge that turned out to be less is followed by a revision', () => {
  expect(decideCarry({ ...base, spentNanos: 600n, carried: first })).toMatchObject({ revision: 2, nanos: 400n });
});

it('what was carried into the window before was part of its limit', () => {
  const carriedBefore = { ...first, window: '2026-10', fromWindow: '2026-09', nanos: 100n };
  expect(decideCarry({ ...base, carriedBefore })).toMatchObject({ nanos: 400n, limitNanos: 1_100n });
});

it('a carry that the definition names for the window before, and the books do not, is not counted', () => {
  const definition = { ...base.definition, carry: { window: '2026-10', nanos: '999', revision: 1 } };
  expect(decideCarry({ ...base, definition })).toMatchObject({ nanos: 300n });
});
