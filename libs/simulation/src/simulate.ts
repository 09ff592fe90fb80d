import type { BackendConfig, MeritorderConfig, PriceVersion, TierConfig, Usage } from '@meritorder/contracts';
import {
  applyCommand,
  budgetOfConfig,
  emptyCounters,
  enforcedAt,
  indexBudgets,
  matchingBudgets,
  windowKey,
  type CounterReply,
  type EnforcedWindow,
  type ReserveCandidate,
} from '@meritorder/budget-core';
import { seededRandom } from '@meritorder/kernel';
import { pathPrice } from '@meritorder/pacing-core';
import { boundNanos, boundOf, expectedCost, priceInForce, rate, type Bound } from '@meritorder/pricing-core';
import { chargedUsd, decide, policyFor, type RequestPolicy, type ScoreCandidate } from '@meritorder/routing-core';
import { BudgetTally } from './budget-tally.js';
import { Completions } from './completions.js';
import { PacedBudget } from './paced-budget.js';
import { Quantiles, type SimulationReport } from './report.js';
import { SimulatedBackend } from './replica-queue.js';
import type { SimulatedRequest } from './requests.js';

export interface SimulatedPolicy {
  readonly config: MeritorderConfig;
  /** By backend: every version, whatever its date. */
  readonly prices: ReadonlyMap<string, readonly PriceVersion[]>;
}

const TICK_MS = 60_000;
const PROJECT_MS = 3_600_000;
/** As in the router, where a policy does not say. */
const USD_PER_SECOND_WAITED = 0.0001;
const UNKNOWN_QUALITY = 0.75;
const LEASE_MS = 20_000;
const LEAST_USEFUL_OUTPUT_TOKENS = 64;
/** Answers after which one counts 1/e in the expected length. */
const LENGTH_MEMORY = 500;
const LENGTH_AT_START = 200;

/** An answer on its way. */
interface InFlight {
  id: string;
  backend: SimulatedBackend;
  usage: Usage;
  price: PriceVersion;
  windows: EnforcedWindow[];
  expectedUsd: { cash: number; full: number };
  startMs: number;
  tier: TierConfig | undefined;
  quality: number;
  outputTokens: number;
}

interface Weighed {
  backend: SimulatedBackend;
  price: PriceVersion;
  bound: Bound;
  windows: EnforcedWindow[];
  numbers: ScoreCandidate;
  maxTokens: number;
}

/**
 * What a policy would have made of this traffic: the router's own score and choice, the counters' own rules, prices of the date,
 * shadow prices and projections, on a virtual clock. The expected length of an answer is learned as it goes, so no decision knows
 * what it could not have known. The same seed and traffic give the same report.
 * @param requests by time
 * @throws Error when they are not, or name a route that the configuration does not have.
 */
export function simulate(policy: SimulatedPolicy, requests: Iterable<SimulatedRequest>, seed = 1): SimulationReport {
  const run = new Run(policy, seed);
  for (const request of requests) run.take(request);
  return run.finish();
}

class Run {
  private readonly backends: Map<string, SimulatedBackend>;
  private readonly budgets;
  private readonly counters = emptyCounters();
  private readonly paced = new Map<string, PacedBudget>();
  private readonly tallies = new Map<string, BudgetTally>();
  private readonly windows = new Map<string, EnforcedWindow>();
  private readonly completions = new Completions<InFlight>();
  private readonly lengths = new Map<string, number>();
  private readonly policies = new Map<string, RequestPolicy>();
  private readonly random: () => number;
  private readonly quantiles = new Quantiles();
  private readonly answers = new Map<string, number>();
  private readonly rejected: Record<string, number> = {};
  private nowMs = -Infinity;
  private nextTickMs = -Infinity;
  private nextProjectMs = -Infinity;
  private requests = 0;
  private cash = 0n;
  private full = 0n;
  private marginal = 0n;
  private charged = 0;
  private margin = 0;
  private quality = 0;

  constructor(
    private readonly policy: SimulatedPolicy,
    seed: number,
  ) {
    const { config } = policy;
    this.random = seededRandom(seed);
    this.backends = new Map(config.backends.map((b) => [b.id, new SimulatedBackend(b)]));
    this.budgets = indexBudgets(config.budgets.map((b) => ({ ...budgetOfConfig(b), limitVersion: 1 })));
    for (const budget of config.budgets) this.tallies.set(budget.id, new BudgetTally(budget.id));
  }

  take(request: SimulatedRequest): void {
    if (request.atMs < this.nowMs)
      throw new Error(`requests are not sorted by time: ${new Date(request.atMs).toISOString()}`);
    this.advance(request.atMs);
    this.requests += 1;
    const code = this.dispatch(request);
    if (code !== undefined) this.rejected[code] = (this.rejected[code] ?? 0) + 1;
  }

  finish(): SimulationReport {
    this.advance(Infinity);
    const answered = [...this.answers.values()].reduce((sum, n) => sum + n, 0);
    const local = [...this.answers].reduce(
      (sum, [id, n]) => sum + (this.backends.get(id)!.config.kind === 'local' ? n : 0),
      0,
    );
    return {
      requests: this.requests,
      answered,
      rejected: this.rejected,
      cashNanos: this.cash.toString(),
      fullNanos: this.full.toString(),
      marginalNanos: this.marginal.toString(),
      chargedUsd: this.charged,
      marginUsd: this.margin,
      quality: this.requests === 0 ? 0 : this.quality / this.requests,
      p50Seconds: this.quantiles.at(0.5),
      p95Seconds: this.quantiles.at(0.95),
      shares: Object.fromEntries([...this.answers].map(([id, n]) => [id, n / answered])),
      localShare: answered === 0 ? 0 : local / answered,
      budgets: [...this.tallies.values()].map((tally) =>
        tally.report(this.paced.get(tally.budget)?.policyChanges ?? 0),
      ),
    };
  }

  /** Everything that happens until an instant: answers that end, and the leader's rounds. */
  private advance(toMs: number): void {
    if (this.nextTickMs === -Infinity) [this.nextTickMs, this.nextProjectMs] = [toMs + TICK_MS, toMs + PROJECT_MS];
    for (;;) {
      const next = Math.min(this.completions.nextMs, toMs === Infinity ? Infinity : this.nextTickMs);
      if (next > toMs || next === Infinity) break;
      if (next === this.completions.nextMs) this.settle(this.completions.take()!, next);
      else this.tick(next);
    }
    this.nowMs = toMs;
  }

  private tick(atMs: number): void {
    const projects = atMs >= this.nextProjectMs;
    for (const [id, paced] of this.paced) {
      const budget = this.windows.get(id)!.budget;
      const at = enforcedAt(budget, atMs);
      if (projects) paced.project(at, this.counters, atMs);
      paced.tick(at, this.counters, atMs);
    }
    this.nextTickMs = atMs + TICK_MS;
    if (projects) this.nextProjectMs = atMs + PROJECT_MS;
  }

  /** @returns the code of the refusal; undefined: it is on its way. */
  private dispatch(request: SimulatedRequest): string | undefined {
    const { config } = this.policy;
    const { attribution } = request;
    const tier = tierOf(config, attribution.org, attribution.tier);
    if (tier === 'none') return 'tier_unknown';
    const route = config.routes.find((r) => r.id === request.route);
    const ids = route?.backends ?? (this.backends.has(request.route) ? [request.route] : undefined);
    if (ids === undefined) throw new Error(`the configuration has no route "${request.route}"`);
    const policy = this.policyOf(route?.id ?? '', tier);
    const expectedOutput = this.lengths.get(request.route) ?? LENGTH_AT_START;
    const weighed: Weighed[] = [];
    let busy = false;
    for (const id of ids) {
      const backend = this.backends.get(id)!;
      if (policy.backends && !policy.backends.has(id)) continue;
      const price = priceInForce(this.policy.prices.get(id) ?? [], request.atMs);
      if (!price || backend.config.contextTokens <= request.inputTokens) continue;
      if (!backend.hasRoom(policy.slotsLeftFree)) busy = true;
      else weighed.push(this.weigh(backend, price, request, policy, tier, expectedOutput));
    }
    const cheapestUsd = weighed.reduce((least, w) => Math.min(least, w.numbers.cashUsd), Infinity);
    for (const w of weighed) this.markRoom(w, cheapestUsd);
    const draws = { holdOut: this.random(), explore: this.random(), replica: this.random() };
    const decision = decide(
      policy.score,
      weighed.map((w) => w.numbers),
      draws,
    );
    if (decision.order.length === 0) {
      this.count(request, weighed[0]?.windows ?? [], undefined, 0);
      return weighed.length > 0 ? 'below_floor' : busy ? 'backend_unavailable' : 'no_able_backend';
    }
    const byId = new Map(weighed.map((w) => [w.numbers.id, w]));
    const order = decision.order.map((s) => byId.get(s.candidate.id)!);
    const id = String(this.requests);
    const reply = this.reserve(id, order, request.atMs);
    if (reply.type !== 'granted') {
      this.noteBound(order, request.atMs, reply);
      this.count(request, order[0]!.windows, undefined, cheapestUsd);
      return 'budget_exhausted';
    }
    if (reply.candidateIndex > 0) this.noteBound(order.slice(0, reply.candidateIndex), request.atMs);
    const chosen = order[reply.candidateIndex]!;
    this.send(id, chosen, request, reply.maxTokens, tier);
    this.count(request, chosen.windows, chosen.numbers, cheapestUsd);
    return undefined;
  }

  private policyOf(route: string, tier: TierConfig | undefined): RequestPolicy {
    const key = `${route} ${tier?.id ?? ''}`;
    let known = this.policies.get(key);
    if (known === undefined) {
      known = policyFor({ route: this.policy.config.routes.find((r) => r.id === route), tier, wishes: undefined });
      this.policies.set(key, known);
    }
    return known;
  }

  private weigh(
    backend: SimulatedBackend,
    price: PriceVersion,
    request: SimulatedRequest,
    policy: RequestPolicy,
    tier: TierConfig | undefined,
    expectedOutput: number,
  ): Weighed {
    const { config } = backend;
    const windows = this.windowsOf(config, request);
    const maxTokens = Math.max(1, Math.min(config.maxOutputTokens, config.contextTokens - request.inputTokens));
    const outputTokens = Math.min(maxTokens, Math.ceil(expectedOutput));
    const cost = expectedCost(price, usageOf(request.inputTokens, outputTokens), { atMs: request.atMs });
    const path = pathPrice(
      windows.map((w) => ({ basis: w.charge.basis, lambda: this.paced.get(w.budget.id)?.shadowPrice ?? 0 })),
    );
    const perSecond = policy.score.usdPerSecondLate > 0 ? policy.score.usdPerSecondLate : USD_PER_SECOND_WAITED;
    const prior = config.quality?.prior ?? UNKNOWN_QUALITY;
    const work = { inputTokens: request.inputTokens, outputTokens };
    const charged = chargedUsd(tier, cost.fullUsd);
    const late =
      policy.score.usdPerSecondLate > 0 && policy.targetSeconds !== undefined
        ? Math.max(0, backend.seconds(work) - policy.targetSeconds)
        : 0;
    return {
      backend,
      price,
      bound: boundOf(price, { inputTokensBound: request.inputTokens, choices: 1 }),
      windows,
      maxTokens,
      numbers: {
        id: config.id,
        quality: request.quality?.[config.id] ?? prior,
        qualityVariance: 0,
        priorQuality: prior,
        outcomes: 0,
        ...cost,
        ...(charged === undefined ? {} : { chargedUsd: charged }),
        shadowCash: path.cash,
        shadowFull: path.full,
        ...backend.numbers(work, perSecond),
        lateSeconds: late,
      },
    };
  }

  private windowsOf({ provider, model, id }: BackendConfig, request: SimulatedRequest): EnforcedWindow[] {
    return matchingBudgets(this.budgets, { ...request.attribution, provider, model, backend: id }).map((budget) => {
      const at = enforcedAt(budget, request.atMs);
      if (!this.paced.has(budget.id))
        this.paced.set(budget.id, new PacedBudget(budget.definition.pacing ?? 'projected'));
      this.windows.set(budget.id, at);
      return at;
    });
  }

  private markRoom(w: Weighed, cheapestUsd: number): void {
    if (w.numbers.cashUsd <= cheapestUsd) return;
    const beyond = w.windows.some(({ budget, charge }) => {
      const room = this.paced.get(budget.id)?.spareRoom;
      return room !== undefined && boundNanos(w.bound[charge.basis], w.maxTokens) > room;
    });
    if (beyond) w.numbers = { ...w.numbers, beyondRoom: true };
  }

  private reserve(attemptId: string, order: readonly Weighed[], atMs: number): CounterReply {
    const candidates = order.map(({ backend, bound, windows, maxTokens }): ReserveCandidate => ({
      backend: backend.config.id,
      maxTokens,
      minTokens: Math.min(maxTokens, LEAST_USEFUL_OUTPUT_TOKENS),
      cash: bound.cash,
      full: bound.full,
      windows: windows.map((w) => w.asked),
      local: backend.config.kind === 'local',
    }));
    return applyCommand(this.counters, { verb: 'reserve', attemptId, leaseMs: LEASE_MS, candidates }, atMs * 1_000);
  }

  private send(
    id: string,
    { backend, price, windows, numbers }: Weighed,
    request: SimulatedRequest,
    maxTokens: number,
    tier: TierConfig | undefined,
  ): void {
    applyCommand(this.counters, { verb: 'open', attemptId: id }, request.atMs * 1_000);
    const outputTokens = Math.min(request.outputTokens, maxTokens);
    const work = { inputTokens: request.inputTokens, outputTokens };
    const seconds = backend.seconds(work);
    backend.inFlight += 1;
    backend.learn(work);
    this.completions.add(request.atMs + seconds * 1_000, {
      id,
      backend,
      usage: usageOf(request.inputTokens, outputTokens),
      price,
      windows,
      expectedUsd: { cash: numbers.cashUsd, full: numbers.fullUsd },
      startMs: request.atMs,
      tier,
      quality: numbers.quality,
      outputTokens,
    });
    const length = this.lengths.get(request.route) ?? LENGTH_AT_START;
    this.lengths.set(request.route, length + (outputTokens - length) / LENGTH_MEMORY);
    for (const { budget, charge } of windows) {
      const key = windowKey({ budget: charge.budget, window: charge.window });
      this.tallyOf(budget.id, budget.instance?.template).see(key, this.counters.windows.get(key)!);
    }
  }

  private settle(done: InFlight, atMs: number): void {
    const cost = rate(done.price, done.usage, { atMs });
    applyCommand(
      this.counters,
      { verb: 'settle', attemptId: done.id, cashNanos: cost.cashNanos, fullNanos: cost.fullNanos },
      atMs * 1_000,
    );
    // What ended is never asked for again: a month of holds would not fit.
    this.counters.holds.delete(done.id);
    done.backend.inFlight -= 1;
    this.cash += cost.cashNanos;
    this.full += cost.fullNanos;
    this.marginal += cost.marginalNanos;
    this.quality += done.quality;
    this.quantiles.add((atMs - done.startMs) / 1_000);
    const id = done.backend.config.id;
    this.answers.set(id, (this.answers.get(id) ?? 0) + 1);
    const fullUsd = Number(cost.fullNanos) / 1e9;
    const charged = chargedUsd(done.tier, fullUsd);
    if (charged !== undefined) {
      this.charged += charged;
      this.margin += charged - fullUsd;
    }
    for (const { budget, charge } of done.windows) {
      const actualUsd = charge.basis === 'cash' ? Number(cost.cashNanos) / 1e9 : fullUsd;
      this.paced.get(budget.id)!.settle(done.expectedUsd[charge.basis], actualUsd);
      const key = windowKey({ budget: charge.budget, window: charge.window });
      this.tallyOf(budget.id, budget.instance?.template).see(key, this.counters.windows.get(key)!);
    }
  }

  private count(
    request: SimulatedRequest,
    windows: readonly EnforcedWindow[],
    chosen: ScoreCandidate | undefined,
    cheapestUsd: number,
  ): void {
    const cheapest = Number.isFinite(cheapestUsd) ? cheapestUsd : 0;
    for (const { budget, charge } of windows) {
      const expected = chosen === undefined ? 0 : charge.basis === 'cash' ? chosen.cashUsd : chosen.fullUsd;
      this.paced.get(budget.id)!.count(request.atMs, expected, cheapest);
    }
  }

  /** Candidates that were passed over: whose windows have no room for them. */
  private noteBound(passed: readonly Weighed[], atMs: number, reply?: CounterReply): void {
    const keys = new Set<string>();
    if (reply?.type === 'refused') for (const b of reply.candidates) if (b.key !== undefined) keys.add(b.key);
    for (const { windows, bound, maxTokens } of passed) {
      for (const { charge } of windows) {
        const key = windowKey({ budget: charge.budget, window: charge.window });
        const w = this.counters.windows.get(key);
        if (!w) continue;
        const least = boundNanos(bound[charge.basis], Math.min(maxTokens, LEAST_USEFUL_OUTPUT_TOKENS));
        if (w.limitNanos - w.settledNanos - w.unconfirmedNanos - w.reservedNanos < least) keys.add(key);
      }
    }
    const seen = new Set<string>();
    for (const { windows } of passed) {
      for (const { budget, charge } of windows) {
        if (!keys.has(windowKey({ budget: charge.budget, window: charge.window })) || seen.has(budget.id)) continue;
        seen.add(budget.id);
        this.tallyOf(budget.id, budget.instance?.template).bind(atMs);
      }
    }
  }

  /** Instances of a template are told of together. */
  private tallyOf(budget: string, template: string | undefined): BudgetTally {
    return this.tallies.get(template ?? budget)!;
  }
}

function usageOf(inputTokens: number, outputTokens: number): Usage {
  return { inputTokens, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0, outputTokens, requests: 1 };
}

function tierOf(config: MeritorderConfig, org: string, name: string | undefined): TierConfig | undefined | 'none' {
  const tiers = config.tiers.filter((t) => t.orgs === undefined || t.orgs.includes(org));
  const wanted = name ?? config.orgs.find((o) => o.id === org)?.defaultTier;
  return tiers.length === 0 || wanted === undefined ? undefined : (tiers.find((t) => t.id === wanted) ?? 'none');
}
