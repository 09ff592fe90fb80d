import {
  BUCKETS,
  BUDGET_COUNT_KEY,
  BudgetCount,
  BudgetDefinition,
  BudgetPolicy,
  PriceVersion,
  type MeritorderConfig,
} from '@meritorder/contracts';
import { decodeJson, watchBucket, type Bus } from '@meritorder/messaging';
import { z } from 'zod';
import { MemoryCatalogue } from './catalogue.memory.js';

const Prices = z.array(PriceVersion);

/** A catalogue that follows the buckets of prices, policies and budgets. */
export class NatsCatalogue extends MemoryCatalogue {
  private readonly stop = new AbortController();

  constructor(
    config: MeritorderConfig,
    private readonly bus: Bus,
    private readonly onError: (message: string) => void,
  ) {
    super(config);
  }

  async start(): Promise<void> {
    await Promise.all([
      this.follow(BUCKETS.prices.name, Prices, (backend, prices) => this.setPrices(backend, prices)),
      this.follow(BUCKETS.policy.name, BudgetPolicy, (budget, policy) => this.setPolicy(budget, policy)),
      watchBucket(
        this.bus,
        BUCKETS.budgets.name,
        (key, value) => {
          if (key !== BUDGET_COUNT_KEY) this.take(key, value, BudgetDefinition, (b) => this.setBudget(key, b));
          else this.take(key, value, BudgetCount, (count) => count && this.expectBudgets(count.budgets));
        },
        this.stop.signal,
      ),
    ]);
  }

  close(): void {
    this.stop.abort();
  }

  private follow<T>(
    bucket: string,
    schema: z.ZodType<T>,
    set: (key: string, value: T | undefined) => void,
  ): Promise<unknown> {
    return watchBucket(
      this.bus,
      bucket,
      (key, value) => this.take(key, value, schema, (taken) => set(key, taken)),
      this.stop.signal,
    );
  }

  /** A value that cannot be read leaves the last good one in force. */
  private take<T>(
    key: string,
    value: Uint8Array | null,
    schema: z.ZodType<T>,
    set: (value: T | undefined) => unknown,
  ): void {
    if (value === null) {
      set(undefined);
      return;
    }
    try {
      set(decodeJson(schema, value));
    } catch (error) {
      this.onError(`${key} keeps its last good value: ${(error as Error).message}`);
    }
  }
}
