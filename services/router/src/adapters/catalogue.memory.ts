import {
  backendsByModel,
  type AccountConfig,
  type BackendConfig,
  type BudgetDefinition,
  type BudgetPolicy,
  type MeritorderConfig,
  type PriceVersion,
  type RouteConfig,
  type TierConfig,
} from '@meritorder/contracts';
import {
  budgetsOfRequest,
  dropBudget,
  indexBudgets,
  putBudget,
  type Attributes,
  type EnforcedBudget,
  type EnforcedWindow,
} from '@meritorder/budget-core';
import { priceInForce } from '@meritorder/pricing-core';
import { substitutesOf } from '@meritorder/routing-core';
import { budgetPath, type BudgetPath } from '../application/budget-path.js';
import type { Catalogue, NamedRoute } from '../application/ports.js';

/** Of one backend, from an instant until the next of its prices takes effect. */
interface PricesInForce {
  price: PriceVersion | undefined;
  others: readonly PriceVersion[];
  fromMs: number;
  untilMs: number;
}

const NO_PRICES: readonly PriceVersion[] = [];

/** Backends, routes and tiers of the configuration, with the prices, policies and budgets that it is told of. A decision reads only this. */
export class MemoryCatalogue implements Catalogue {
  private backends!: ReadonlyMap<string, BackendConfig>;
  /** By what their providers call them. */
  private byModel!: ReturnType<typeof backendsByModel<BackendConfig>>;
  private byAlias!: ReadonlyMap<string, string>;
  private routes!: ReadonlyMap<string, { id: string; backends: BackendConfig[]; settings: RouteConfig }>;
  /** Of the configuration's file; others join and leave. */
  private readonly configured: readonly string[];
  private readonly tiers = new Map<string, Map<string, TierConfig>>();
  private readonly policies = new Map<string, BudgetPolicy>();
  /** By lists that are the same for many requests; of the policies as they are now. */
  private paths = new WeakMap<readonly EnforcedWindow[], BudgetPath>();
  private readonly defaultTiers = new Map<string, string>();
  private readonly prices = new Map<string, PriceVersion[]>();
  private readonly pricesInForce = new Map<string, PricesInForce>();
  private readonly accounts: Map<string, AccountConfig>;
  private readonly budgets = indexBudgets([]);
  private expected: number | undefined;
  private complete = false;

  constructor(private readonly config: MeritorderConfig) {
    this.configured = config.backends.map((b) => b.id);
    this.accounts = new Map(config.accounts.map((a) => [a.provider, a]));
    this.fleetChanged();
    for (const tier of config.tiers)
      for (const org of tier.orgs ?? config.orgs.map((o) => o.id))
        this.tiers.set(org, (this.tiers.get(org) ?? new Map<string, TierConfig>()).set(tier.id, tier));
    for (const org of config.orgs) if (org.defaultTier) this.defaultTiers.set(org.id, org.defaultTier);
  }

  /** Backends have joined the configuration in force, or left it. */
  fleetChanged(): void {
    const { backends, routes } = this.config;
    const byId = new Map(backends.map((b) => [b.id, b]));
    this.backends = byId;
    this.byModel = backendsByModel(backends);
    this.routes = new Map(
      routes.map((r) => [r.id, { id: r.id, backends: r.backends.map((b) => byId.get(b)!), settings: r }]),
    );
    this.byAlias = new Map(routes.flatMap(({ id, aliases }) => aliases.map((alias) => [alias, id])));
    // Other models of a backend are looked up with its prices.
    this.pricesInForce.clear();
  }

  setPrices(backend: string, versions: PriceVersion[] | undefined): void {
    this.pricesInForce.delete(backend);
    if (versions) this.prices.set(backend, versions);
    else this.prices.delete(backend);
  }

  setPolicy(budget: string, policy: BudgetPolicy | undefined): void {
    this.paths = new WeakMap();
    if (policy) this.policies.set(budget, policy);
    else this.policies.delete(budget);
  }

  setBudget(id: string, budget: BudgetDefinition | undefined): void {
    if (budget) putBudget(this.budgets, budget);
    else dropBudget(this.budgets, id);
    this.lookWhetherComplete();
  }

  /** So many budgets there are. */
  expectBudgets(count: number): void {
    this.expected = count;
    this.lookWhetherComplete();
  }

  /** Configured backends of which the price book has not said anything yet, not even that they have no price. */
  unheardOf(): string[] {
    return this.configured.filter((id) => !this.prices.has(id));
  }

  backend(id: string): BackendConfig | undefined {
    return this.backends.get(id);
  }

  substitutesOf(backend: string): BackendConfig[] {
    const named = this.backends.get(backend);
    return named === undefined ? [] : substitutesOf(this.routes.values(), named);
  }

  tier(org: string, tier: string | undefined): TierConfig | undefined | 'none' {
    const tiers = this.tiers.get(org);
    const name = tier ?? this.defaultTiers.get(org);
    return tiers === undefined || name === undefined ? undefined : (tiers.get(name) ?? 'none');
  }

  tierIds(org: string): string[] {
    return [...(this.tiers.get(org)?.keys() ?? [])];
  }

  pathOf(windows: readonly EnforcedWindow[]): BudgetPath {
    let path = this.paths.get(windows);
    if (path === undefined) this.paths.set(windows, (path = budgetPath(windows, (b, w) => this.policyOf(b, w))));
    return path;
  }

  route(name: string, among?: readonly string[]): NamedRoute | undefined {
    const may = (id: string): boolean => among === undefined || among.includes(id);
    const id = this.byAlias.get(name) ?? name;
    const route = this.routes.get(id);
    if (route !== undefined) return may(id) ? route : undefined;
    const backend = this.backends.get(id);
    if (backend !== undefined) return may(id) ? { id, backends: [backend] } : undefined;
    const named = this.byModel.get(name) ?? [];
    const backends = named === 'ambiguous' ? [] : named.filter((b) => may(b.id));
    // What is learned of requests by this name goes on as it began, when the second of them comes.
    return backends.length === 0 ? undefined : { id: backends[0]!.id, backends };
  }

  providersOf(model: string): string[] {
    const backends = this.byModel.get(model) === 'ambiguous' ? [...this.backends.values()] : [];
    const named = backends.filter((b) => b.model === model || b.modelAliases.includes(model));
    return [...new Set(named.map((b) => b.provider))];
  }

  routeIds(): string[] {
    return [...this.routes.keys(), ...this.backends.keys()];
  }

  price(backend: string, atMs: number): PriceVersion | undefined {
    return this.inForce(backend, atMs)?.price;
  }

  otherPrices(backend: string, atMs: number): readonly PriceVersion[] {
    return this.inForce(backend, atMs)?.others ?? NO_PRICES;
  }

  budgetsOf(request: Attributes): (backend: BackendConfig) => readonly EnforcedBudget[] {
    const at = budgetsOfRequest(this.budgets, request);
    return ({ id, model, provider }) => at({ backend: id, model, provider });
  }

  accountLimits(provider: string): AccountConfig | undefined {
    return this.accounts.get(provider);
  }

  knowsAllBudgets(): boolean {
    return this.complete;
  }

  private policyOf(budget: string, window: string): BudgetPolicy | undefined {
    const policy = this.policies.get(budget);
    return policy?.window === window ? policy : undefined;
  }

  /** Prices change rarely: which are in force is found out once until the next of them takes effect. */
  private inForce(backend: string, atMs: number): PricesInForce | undefined {
    const known = this.pricesInForce.get(backend);
    if (known !== undefined && known.fromMs <= atMs && atMs < known.untilMs) return known;
    const versions = this.prices.get(backend);
    if (versions === undefined) return undefined;
    const models = this.backends.get(backend)?.otherModels ?? [];
    const found: PricesInForce = {
      price: priceInForce(versions, atMs),
      others: models.map(({ model }) => priceInForce(versions, atMs, model)).filter((price) => price !== undefined),
      fromMs: atMs,
      untilMs: Math.min(...versions.map((v) => Date.parse(v.effectiveFrom)).filter((from) => from > atMs)),
    };
    this.pricesInForce.set(backend, found);
    return found;
  }

  /** Once all were known, changes come one by one; only a router that starts can know too few. */
  private lookWhetherComplete(): void {
    this.complete ||= this.expected !== undefined && this.budgets.byId.size >= this.expected;
  }
}
