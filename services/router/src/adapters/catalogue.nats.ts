import {
  BUCKETS,
  BUDGET_COUNT_KEY,
  BudgetCount,
  BudgetDefinition,
  BudgetPolicy,
  PriceVersion,
  type AccountConfig,
  type BackendConfig,
  type MeritorderConfig,
  type RouteConfig,
  type TierConfig,
} from '@meritorder/contracts';
import {
  dropBudget,
  indexBudgets,
  matchingBudgets,
  putBudget,
  type Attributes,
  type EnforcedBudget,
} from '@meritorder/budget-core';
import { decodeJson, watchBucket, type Bus } from '@meritorder/messaging';
import { priceInForce } from '@meritorder/pricing-core';
import { z } from 'zod';
import type { Catalogue } from '../application/ports.js';

const Prices = z.array(PriceVersion);

/** Backends and routes from the configuration; prices and budgets followed in their buckets. A decision reads only memory. */
export class NatsCatalogue implements Catalogue {
  private readonly backends: Map<string, BackendConfig>;
  private readonly routes: Map<string, { id: string; backends: BackendConfig[]; settings: RouteConfig }>;
  private readonly tiers = new Map<string, Map<string, TierConfig>>();
  private readonly policies = new Map<string, BudgetPolicy>();
  private readonly defaultTiers = new Map<string, string>();
  private readonly prices = new Map<string, PriceVersion[]>();
  private readonly accounts: Map<string, AccountConfig>;
  private readonly budgets = indexBudgets([]);
  private readonly budgetIds = new Set<string>();
  private expected: number | undefined;
  private complete = false;
  private readonly stop = new AbortController();

  constructor(
    config: MeritorderConfig,
    private readonly bus: Bus,
    private readonly onError: (message: string) => void,
  ) {
    this.backends = new Map(config.backends.map((b) => [b.id, b]));
    this.accounts = new Map(config.accounts.map((a) => [a.provider, a]));
    this.routes = new Map(
      config.routes.map((r) => [
        r.id,
        { id: r.id, backends: r.backends.map((b) => this.backends.get(b)!), settings: r },
      ]),
    );
    for (const tier of config.tiers)
      for (const org of tier.orgs ?? config.orgs.map((o) => o.id))
        this.tiers.set(org, (this.tiers.get(org) ?? new Map<string, TierConfig>()).set(tier.id, tier));
    for (const org of config.orgs) if (org.defaultTier) this.defaultTiers.set(org.id, org.defaultTier);
  }

  async start(): Promise<void> {
    await Promise.all([
      watchBucket(
        this.bus,
        BUCKETS.prices.name,
        (key, value) =>
          this.take(
            key,
            value,
            Prices,
            (prices) => this.prices.set(key, prices),
            () => this.prices.delete(key),
          ),
        this.stop.signal,
      ),
      watchBucket(
        this.bus,
        BUCKETS.policy.name,
        (key, value) =>
          this.take(
            key,
            value,
            BudgetPolicy,
            (policy) => this.policies.set(key, policy),
            () => this.policies.delete(key),
          ),
        this.stop.signal,
      ),
      watchBucket(
        this.bus,
        BUCKETS.budgets.name,
        (key, value) => (key === BUDGET_COUNT_KEY ? this.expect(value) : this.takeBudget(key, value)),
        this.stop.signal,
      ),
    ]);
  }

  close(): void {
    this.stop.abort();
  }

  /** Backends of which the price book has not said anything yet, not even that they have no price. */
  unheardOf(): string[] {
    return [...this.backends.keys()].filter((id) => !this.prices.has(id));
  }

  backend(id: string): BackendConfig | undefined {
    return this.backends.get(id);
  }

  substitutesOf(backend: string): BackendConfig[] {
    const routes = [...this.routes.values()].filter((r) => r.backends.some((b) => b.id === backend));
    return [...new Set(routes.flatMap((r) => r.backends))].filter((b) => b.id !== backend);
  }

  tier(org: string, tier: string | undefined): TierConfig | undefined | 'none' {
    const tiers = this.tiers.get(org);
    const name = tier ?? this.defaultTiers.get(org);
    return tiers === undefined || name === undefined ? undefined : (tiers.get(name) ?? 'none');
  }

  tierIds(org: string): string[] {
    return [...(this.tiers.get(org)?.keys() ?? [])];
  }

  policyOf(budget: string, window: string): BudgetPolicy | undefined {
    const policy = this.policies.get(budget);
    return policy?.window === window ? policy : undefined;
  }

  route(id: string): { id: string; backends: BackendConfig[]; settings?: RouteConfig } | undefined {
    const backend = this.backends.get(id);
    return this.routes.get(id) ?? (backend ? { id, backends: [backend] } : undefined);
  }

  routeIds(): string[] {
    return [...this.routes.keys(), ...this.backends.keys()];
  }

  price(backend: string, atMs: number): PriceVersion | undefined {
    return priceInForce(this.prices.get(backend) ?? [], atMs);
  }

  otherPrices(backend: string, atMs: number): PriceVersion[] {
    const versions = this.prices.get(backend) ?? [];
    const models = this.backends.get(backend)?.otherModels ?? [];
    return models.map(({ model }) => priceInForce(versions, atMs, model)).filter((price) => price !== undefined);
  }

  budgetsFor(attributes: Attributes): readonly EnforcedBudget[] {
    return matchingBudgets(this.budgets, attributes);
  }

  accountLimits(provider: string): AccountConfig | undefined {
    return this.accounts.get(provider);
  }

  knowsAllBudgets(): boolean {
    return this.complete;
  }

  private takeBudget(key: string, value: Uint8Array | null): void {
    this.take(
      key,
      value,
      BudgetDefinition,
      (budget) => {
        putBudget(this.budgets, budget);
        this.budgetIds.add(key);
      },
      () => {
        dropBudget(this.budgets, key);
        this.budgetIds.delete(key);
      },
    );
    this.lookWhetherComplete();
  }

  private expect(value: Uint8Array | null): void {
    this.take(
      BUDGET_COUNT_KEY,
      value,
      BudgetCount,
      ({ budgets }) => (this.expected = budgets),
      () => {},
    );
    this.lookWhetherComplete();
  }

  /** Once all were known, changes come one by one; only a router that starts can know too few. */
  private lookWhetherComplete(): void {
    this.complete ||= this.expected !== undefined && this.budgetIds.size >= this.expected;
  }

  /** A value that cannot be read leaves the last good one in force. */
  private take<T>(
    key: string,
    value: Uint8Array | null,
    schema: z.ZodType<T>,
    put: (value: T) => unknown,
    drop: () => unknown,
  ): void {
    if (value === null) {
      drop();
      return;
    }
    try {
      put(decodeJson(schema, value));
    } catch (error) {
      this.onError(`${key} keeps its last good value: ${(error as Error).message}`);
    }
  }
}
