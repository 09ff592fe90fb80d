import { describe, expect, it } from 'vitest';
import { stored } from '../fixture.for-tests.js';
import { daily, decision, Desk, HOUR_MS, MIDNIGHT_MS } from './fixture.for-tests.js';
import { MOST_PACED, PacingBook } from './pacing-book.js';
import { MOST_LOGGED, MOST_LOGGED_IN_ALL, RequestLog } from './request-log.js';
import type { LoggedDecision } from './traffic-facts.js';

let made = 0;
function request(...budgets: string[]): LoggedDecision {
  const candidate = { valueUsd: 1, marginalUsd: 0, cashUsd: 0, fullUsd: 0 };
  return {
    candidates: [{ backend: `c${(made += 1)}`, ...candidate }],
    budgets: budgets.map((budget) => ({ budget, basis: 'cash', shadowPrice: 0 })),
  };
}
function added(log: RequestLog, count: number, ...budgets: string[]): LoggedDecision[] {
  const requests = Array.from({ length: count }, () => request(...budgets));
  for (const each of requests) log.add(budgets, each);
  return requests;
}

describe('a log of requests', () => {
  it('keeps the last of each budget, whatever comes of others', () => {
    const log = new RequestLog();
    const few = added(log, 40, 'small', 'org');
    const many = added(log, MOST_LOGGED + 5, 'busy', 'org');
    expect(log.of('small')).toEqual(few);
    expect(log.of('busy')).toEqual(many.slice(5));
    expect(log.of('org')).toEqual(many.slice(5));
    expect(log.of('another')).toEqual([]);
  });

  it('takes from the longest where all together are too many, and leaves each more than a first price needs', () => {
    const log = new RequestLog();
    for (let i = 0; i < MOST_PACED; i++) added(log, i < 30 ? MOST_LOGGED : 35, `b${i}`);
    log.prune();
    const lengths = Array.from({ length: MOST_PACED }, (_, i) => log.of(`b${i}`).length);
    expect(lengths.reduce((total, length) => total + length)).toBeLessThanOrEqual(MOST_LOGGED_IN_ALL);
    expect(Math.min(...lengths)).toBe(35);
    expect(new Set(lengths.slice(0, 30)).size).toBe(1);
  });

  it('gives the last of all, each once and in order', () => {
    const log = new RequestLog();
    const [first, , third] = added(log, 3, 'a', 'b');
    const last = added(log, 1, 'b');
    log.forget('a');
    added(log, 1, 'a');
    expect(log.last(100)).toHaveLength(5);
    expect(log.last(100)[0]).toBe(first);
    expect(log.last(3)).toEqual([third, ...last, log.of('a')[0]]);
  });
});

it('another book takes up the log of each budget', () => {
  const book = new PacingBook();
  for (let i = 0; i < 3_000; i++) book.apply(decision(`a${i}`, MIDNIGHT_MS, { budget: 'busy' }), MIDNIGHT_MS);
  for (let i = 0; i < 50; i++) book.apply(decision(`b${i}`, MIDNIGHT_MS), MIDNIGHT_MS);
  const log = book.logToKeep();
  const next = new PacingBook({ ...structuredClone(book.takeChanges()), log });
  expect(next.logOf('busy')).toHaveLength(MOST_LOGGED);
  expect(next.logOf('org')).toEqual(book.logOf('org'));
});

it('a budget is priced as if a busy neighbour were not there', () => {
  const prices = (neighbour: number): number[] => {
    const desk = new Desk(daily({ limitNanos: '2000000000', pacing: 'always' }));
    desk.others.set('busy', stored({ id: 'busy', selector: { org: 'other' }, window: 'day', timeZone: 'UTC' }));
    return Array.from({ length: 36 }, (_, i) => {
      const nowMs = MIDNIGHT_MS + 1_000 + (i * HOUR_MS) / 6;
      for (let n = 0; n < neighbour; n++)
        desk.book.apply(decision(`n${i}-${n}`, nowMs, { budget: 'busy', expectedUsd: 0 }), nowMs);
      desk.look(nowMs, 17);
      return desk.state.shown;
    });
  };
  expect(prices(2_000)).toEqual(prices(0));
});
