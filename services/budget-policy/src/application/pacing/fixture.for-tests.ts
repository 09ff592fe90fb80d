import type { BudgetDefinition } from '@meritorder/contracts';
import type { StoredBudget, WindowTotal } from '@meritorder/ledger-store';
import { stored } from '../fixture.for-tests.js';
import type { PacingEvent } from './decide-pacing.js';
import type { Word } from './paced-budget.js';
import { PacingBook, type BookSnapshot } from './pacing-book.js';
import { PacingRound } from './pacing-round.js';
import type { DecisionFact, UsageFact } from './traffic-facts.js';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const MIDNIGHT_MS = Date.UTC(2026, 10, 24);
export const DAY = '2026-11-24';

export function daily(more: Partial<BudgetDefinition> = {}): StoredBudget {
  return stored({ id: 'org', window: 'day', timeZone: 'UTC', limitNanos: '1000000000', ...more });
}

/** A dear and a cheap candidate; without a price the dear one is worth its money. */
export const DEAR_USD = 0.01;
export const CHEAP_USD = 0.001;
const VALUE = { dear: 0.03, cheap: 0.015 };

export function decision(
  id: string,
  atMs: number,
  { expectedUsd = DEAR_USD, window = DAY, shadowPrice = 0, budget = 'org' } = {},
): DecisionFact {
  const heldBackUsd = shadowPrice > 0 ? Math.max(0, DEAR_USD - expectedUsd) : 0;
  return {
    type: 'decision',
    id,
    atMs,
    charges: [{ budget, window, basis: 'cash', expectedUsd, heldBackUsd, cheapestUsd: CHEAP_USD }],
    logged: {
      candidates: [
        { backend: 'dear', valueUsd: VALUE.dear, marginalUsd: DEAR_USD, cashUsd: DEAR_USD, fullUsd: DEAR_USD },
        { backend: 'cheap', valueUsd: VALUE.cheap, marginalUsd: CHEAP_USD, cashUsd: CHEAP_USD, fullUsd: CHEAP_USD },
      ],
      budgets: [{ budget, basis: 'cash', shadowPrice }],
    },
  };
}

export function usage(
  id: string,
  atMs: number,
  { usd = DEAR_USD, revision = 1, window = DAY, budget = 'org' } = {},
): UsageFact {
  const charges = [{ budget, window, basis: 'cash' as const, template: null, values: null }];
  return { type: 'usage', id, revision, atMs, cashUsd: usd, fullUsd: usd, charges };
}

/** What a router would choose at a price. */
export function costAt(shadowPrice: number): number {
  const score = (value: number, cost: number): number => value - (1 + shadowPrice) * cost;
  return score(VALUE.dear, DEAR_USD) > score(VALUE.cheap, CHEAP_USD) ? DEAR_USD : CHEAP_USD;
}

/** The whole service in memory: books, rounds, and one word. */
export class Desk {
  book: PacingBook;
  round: PacingRound;
  readonly totals = new Map<string, WindowTotal>();
  readonly words = new Map<string, Word>();
  readonly events: PacingEvent[] = [];
  /** Definitions beside the one that requests match. */
  readonly others = new Map<string, StoredBudget>();
  private attempt = 0;

  constructor(
    public definition: StoredBudget,
    snapshot?: BookSnapshot,
  ) {
    this.book = new PacingBook(snapshot);
    this.round = new PacingRound(this.book);
  }

  get state() {
    return this.book.budgets.get(this.definition.definition.id)!;
  }

  /** Requests that are decided by the price in force, charged, and looked at. Returns the events of this look. */
  look(nowMs: number, requests: number, window = new Date(nowMs).toISOString().slice(0, 10)): PacingEvent[] {
    const id = this.definition.definition.id;
    const shadowPrice = this.book.budgets.get(id)?.shown ?? 0;
    const spentUsd = Number(this.totals.get(`${id} ${window}`)?.settledNanos ?? 0n) / 1e9;
    const limitUsd = Number(this.definition.definition.limitNanos) / 1e9;
    const facts = Array.from({ length: requests }).flatMap((_, i) => {
      const wanted = costAt(shadowPrice);
      const expectedUsd = spentUsd + (i + 1) * wanted > limitUsd ? 0 : wanted;
      const attempt = `a${(this.attempt += 1)}`;
      this.spend(id, window, expectedUsd);
      return [
        decision(attempt, nowMs, { expectedUsd, window, shadowPrice, budget: id }),
        ...(expectedUsd > 0 ? [usage(attempt, nowMs, { usd: expectedUsd, window, budget: id })] : []),
      ];
    });
    return this.step(nowMs, facts);
  }

  step(nowMs: number, facts: Parameters<PacingRound['count']>[0] = []): PacingEvent[] {
    const id = this.definition.definition.id;
    const definitions = new Map([[id, this.definition], ...this.others]);
    const [key] = this.round.count(facts, definitions, nowMs);
    const total = this.totals.get(`${id} ${key!.window}`);
    const events = this.round.decide({
      definitions,
      totals: new Map(total ? [[id, total]] : []),
      reserved: new Map(),
      words: this.words,
      nowMs,
    });
    this.events.push(...events);
    return events;
  }

  spend(budget: string, window: string, usd: number): void {
    const before = this.totals.get(`${budget} ${window}`)?.settledNanos ?? 0n;
    const settledNanos = before + BigInt(Math.round(usd * 1e9));
    this.totals.set(`${budget} ${window}`, {
      budget,
      window,
      template: null,
      values: null,
      settledNanos,
      unconfirmedNanos: 0n,
      correctedNanos: 0n,
    });
  }
}

export function word(more: Partial<Word>): Word {
  return {
    stage: null,
    shadowPrice: null,
    paused: false,
    reason: 'audit',
    by: 'ada',
    changedAt: new Date(MIDNIGHT_MS).toISOString(),
    ...more,
  };
}
