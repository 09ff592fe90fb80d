import type { LoggedDecision } from './traffic-facts.js';

/** Of one budget: what a first price is sought on. */
export const MOST_LOGGED = 2_000;
/** Of all budgets together: so many that each of the most that are paced has more than a first price needs. */
export const MOST_LOGGED_IN_ALL = 40_000;

interface Entry {
  /** In which order they came, over all budgets. */
  order: number;
  decision: LoggedDecision;
}

/**
 * The last requests of each budget, so that no budget's requests push out another's. Where all together are too many, the longest
 * logs are cut to one length. A request that several budgets match counts in each.
 */
export class RequestLog {
  private readonly byBudget = new Map<string, Entry[]>();
  private order = 0;
  private held = 0;

  add(budgets: Iterable<string>, decision: LoggedDecision): void {
    const entry = { order: (this.order += 1), decision };
    for (const budget of budgets) {
      const log = this.byBudget.get(budget);
      if (log) log.push(entry);
      else this.byBudget.set(budget, [entry]);
      if (log && log.length > MOST_LOGGED) log.shift();
      else this.held += 1;
    }
  }

  /** Oldest first. */
  of(budget: string): LoggedDecision[] {
    return (this.byBudget.get(budget) ?? []).map(({ decision }) => decision);
  }

  forget(budget: string): void {
    this.held -= this.byBudget.get(budget)?.length ?? 0;
    this.byBudget.delete(budget);
  }

  /** Down to a tenth below the most, so that not every request is a look at all logs. */
  prune(): void {
    if (this.held <= MOST_LOGGED_IN_ALL) return;
    const longest = this.longestWithin(0.9 * MOST_LOGGED_IN_ALL);
    for (const log of this.byBudget.values()) log.splice(0, log.length - longest);
    this.held = [...this.byBudget.values()].reduce((total, { length }) => total + length, 0);
  }

  /** The last of all budgets, each once, oldest first: as many as fit, by the same measure. */
  last(most: number): LoggedDecision[] {
    const longest = this.longestWithin(most);
    if (longest === 0) return [];
    const entries = new Set([...this.byBudget.values()].flatMap((log) => log.slice(-longest)));
    return [...entries].toSorted((a, b) => a.order - b.order).map(({ decision }) => decision);
  }

  /** How long a log may be so that all together are no more; what short ones leave goes to the others. */
  private longestWithin(most: number): number {
    const lengths = [...this.byBudget.values()].map(({ length }) => length).toSorted((a, b) => a - b);
    let left = most;
    for (const [i, length] of lengths.entries()) {
      const share = Math.floor(left / (lengths.length - i));
      if (length > share) return share;
      left -= length;
    }
    return MOST_LOGGED;
  }
}
