import { earnRetry, fullRetryBudget, spendRetry } from '@meritorder/fleet-core';
import type { Retries } from '../application/ports.js';

/** This router's own retries: with many routers each has its share of the requests, and so of the retries. */
export class RetryTokens implements Retries {
  private budget = fullRetryBudget();

  earn(): void {
    this.budget = earnRetry(this.budget);
  }

  spend(): boolean {
    const left = spendRetry(this.budget);
    if (left) this.budget = left;
    return left !== undefined;
  }
}
