import { expect, it } from 'vitest';
import { daily, DAY, decision, Desk, MIDNIGHT_MS, usage } from './fixture.for-tests.js';
import { ATTEMPT_KEPT_MS, MOST_PACED, PacingBook, type BookChanges, type BookSnapshot } from './pacing-book.js';

const NOW_MS = MIDNIGHT_MS + 3_600_000;

function opened(): Desk {
  const desk = new Desk(daily());
  desk.step(NOW_MS);
  return desk;
}
const snapshotOf = (changes: BookChanges): BookSnapshot => ({ ...structuredClone(changes), log: [] });

it('a decision that is told twice counts one request', () => {
  const { book } = opened();
  expect(book.apply(decision('a', NOW_MS), NOW_MS)).toBe(true);
  expect(book.apply(decision('a', NOW_MS), NOW_MS)).toBe(false);
  expect(book.budgets.get('org')).toMatchObject({ decisions: 1, inFlightUsd: 0.01 });
  expect(book.budgets.get('org')!.price!.open).toEqual({ requests: 1, expectedUsd: 0.01, correctionUsd: 0 });
});

it('a charge that is told twice corrects once, and ends what was in flight', () => {
  const { book } = opened();
  book.apply(decision('a', NOW_MS), NOW_MS);
  book.apply(usage('a', NOW_MS, { usd: 0.015 }), NOW_MS);
  book.apply(usage('a', NOW_MS, { usd: 0.015 }), NOW_MS);
  const state = book.budgets.get('org')!;
  expect(state.inFlightUsd).toBe(0);
  expect(state.price!.open.correctionUsd).toBeCloseTo(0.005, 12);
  expect(book.trafficOf('org', NOW_MS).spending.amounts).toEqual([0.015]);
});

it('a charge that is heard of before its decision is counted as if it had come after', () => {
  const { book } = opened();
  book.apply(usage('a', NOW_MS, { usd: 0.015 }), NOW_MS);
  book.apply(decision('a', NOW_MS), NOW_MS);
  expect(book.budgets.get('org')!.inFlightUsd).toBe(0);
  expect(book.budgets.get('org')!.price!.open.correctionUsd).toBeCloseTo(0.005, 12);
});

it('a refusal counts a request that costs nothing', () => {
  const { book } = opened();
  book.apply(decision('r/1', NOW_MS, { expectedUsd: 0 }), NOW_MS);
  expect(book.budgets.get('org')!.price!.open).toEqual({ requests: 1, expectedUsd: 0, correctionUsd: 0 });
  expect(book.budgets.get('org')!.inFlightUsd).toBe(0);
});

it('a correction of a charge counts once, also one that takes back', () => {
  const { book } = opened();
  book.apply(usage('a', NOW_MS, { usd: 0.015 }), NOW_MS);
  for (let i = 0; i < 2; i++) book.apply(usage('a', NOW_MS, { usd: -0.005, revision: 2 }), NOW_MS);
  expect(book.budgets.get('org')!.price!.open.correctionUsd).toBeCloseTo(-0.005, 12);
  expect(book.trafficOf('org', NOW_MS).spending.amounts[0]).toBeCloseTo(0.01, 12);
});

it('what is in flight in a window that is over is not in flight in the next', () => {
  const desk = opened();
  desk.book.apply(decision('a', NOW_MS), NOW_MS);
  desk.step(NOW_MS + 24 * 3_600_000);
  expect(desk.state).toMatchObject({ windowId: '2026-11-25', inFlightUsd: 0 });
  desk.book.apply(usage('a', NOW_MS, { window: DAY, usd: 0.5 }), NOW_MS);
  expect(desk.state.price!.open.correctionUsd).toBe(0);
});

it('another book goes on from what was kept, and knows again what was counted', () => {
  const { book } = opened();
  book.apply(decision('a', NOW_MS), NOW_MS);
  book.apply(decision('b', NOW_MS), NOW_MS);
  book.apply(usage('a', NOW_MS), NOW_MS);
  const next = new PacingBook(snapshotOf(book.takeChanges()));
  expect(next.budgets.get('org')).toEqual(book.budgets.get('org'));
  expect(next.trafficOf('org', NOW_MS)).toEqual(book.trafficOf('org', NOW_MS));
  expect(next.apply(decision('b', NOW_MS), NOW_MS)).toBe(false);
  expect(next.apply(usage('a', NOW_MS), NOW_MS)).toBe(false);
  expect(next.apply(usage('b', NOW_MS), NOW_MS)).toBe(true);
  expect(next.budgets.get('org')!.inFlightUsd).toBe(0);
});

it('an attempt that nobody ends is in flight for an hour at most', () => {
  const { book } = opened();
  book.apply(decision('a', NOW_MS), NOW_MS);
  book.takeChanges();
  book.prune(NOW_MS + ATTEMPT_KEPT_MS + 1, new Set());
  expect(book.budgets.get('org')!.inFlightUsd).toBe(0);
  expect(book.takeChanges().forgottenAttempts).toEqual(['a']);
});

it('the least busy budgets give way, and what an operator spoke of stays', () => {
  const book = new PacingBook();
  for (let i = 0; i < MOST_PACED + 2; i++) {
    const budget = `b${i}`;
    for (let n = 0; n < (i < 3 ? 1 : 2); n++)
      book.apply({ ...decision(`a${i}-${n}`, NOW_MS, { budget }) }, NOW_MS + i + n);
  }
  expect(book.prune(NOW_MS + 5_000, new Set(['b0'])).toSorted()).toEqual(['b1', 'b2']);
  expect(book.budgets.size).toBe(MOST_PACED);
});
