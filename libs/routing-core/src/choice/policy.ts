import type {
  BackendConfig,
  DecisionPolicy,
  HedgingConfig,
  MeritorderOptions,
  RouteConfig,
  TierConfig,
} from '@meritorder/contracts';
import { usdToNanos, type Nanos } from '@meritorder/kernel';
import { DEFAULT_EXPLORATION } from './explore.js';

/** Whose settings make a request's policy. */
export interface PolicySources {
  /** Undefined: the request names a backend. */
  route: RouteConfig | undefined;
  tier: TierConfig | undefined;
  /** The org has tiers: then a request of none is no more than one of theirs. Default: no. */
  hasTiers?: boolean;
  wishes: MeritorderOptions | null | undefined;
  /** Whether the answer comes as a stream: only such have a first token. Default true. */
  streams?: boolean;
}

/** What a request is dispatched by: the policy of the score, and what is beside it. */
export interface RequestPolicy {
  score: DecisionPolicy;
  /** Of what a conversion brings, USD, what is configured; undefined: nothing. */
  revenueConfiguredUsd: number | undefined;
  /** The same as the caller states it, and up to where that may raise it. */
  revenueStated: { usd: number; mostUsd: number } | undefined;
  /** On the upper bound: the smaller of the tier's and the caller's cap. */
  maxCostNanos: Nanos | undefined;
  /** From here on an answer is late, seconds after the request came; undefined: its deadline. */
  targetSeconds: number | undefined;
  /** The caller's own deadline, at which the call is broken off, seconds after the request came; undefined: none was named. */
  deadlineSeconds: number | undefined;
  /** Backends that may serve it; undefined: all. */
  backends: ReadonlySet<string> | undefined;
  /** Of each list a backend must be in one; none: any region. */
  regions: readonly (readonly string[])[];
  /** Whether another backend may answer in place of one that is named. */
  substitution: boolean;
  /** Share of a replica's slots that is left to requests of a higher priority. */
  slotsLeftFree: number;
  /** Undefined: no second call while the first runs. */
  hedging: HedgingConfig | undefined;
}

/** Trunk reservation: what a request leaves free by its tier's priority (Kelly, Loss Networks, 1991: a few slots go a long way). */
const SLOTS_LEFT_FREE = { low: 0.2, normal: 0.05, high: 0 } as const;

/**
 * What a quality of 1 counts under `quality` where nobody says. Of the objectives it alone needs no figure that is right: of
 * money only shadow prices stand against it, and they move until the spend fits, whatever the unit (ADR 23).
 */
const UNSAID_WORTH_USD = 1;

/** Where a time is named and no price of lateness, so that it counts: what a second of waiting counts in congestion prices. */
const USD_PER_SECOND_LATE = 0.0001;

/**
 * Route, tier and wishes brought together: the tier's word counts before the route's, and a wish is heard within what the tier
 * allows, so that it never lowers a floor nor raises a cap.
 */
export function policyFor({ route, tier, hasTiers = false, wishes, streams = true }: PolicySources): RequestPolicy {
  const caps = [tier?.maxCostUsd, wishes?.max_cost_usd].flatMap((usd) => (usd === undefined ? [] : [usdToNanos(usd)]));
  const maxCostNanos = caps.length === 0 ? undefined : caps.reduce((a, b) => (a < b ? a : b));
  const targetMs = [tier?.targetLatencyMs ?? route?.targetLatencyMs, wishes?.deadline_ms].flatMap((ms) =>
    typeof ms === 'number' ? [ms] : [],
  );
  const hedging = tier?.hedging ?? route?.hedging;
  const objective = objectiveOf(tier, route, wishes);
  const configuredRevenue = tier?.revenueUsd ?? route?.revenueUsd;
  const revenueConfiguredUsd = configuredRevenue === undefined ? undefined : Number(configuredRevenue);
  const exploration = tier?.exploration ?? route?.exploration;
  const policy: RequestPolicy = {
    score: {
      objective,
      tier: tier?.id ?? null,
      usdPerQuality: worthOf(tier, route, wishes) ?? (objective === 'quality' ? UNSAID_WORTH_USD : 0),
      revenueUsd: revenueConfiguredUsd ?? 0,
      leastQuality: Math.max(tier?.minQuality ?? 0, route?.minQuality ?? 0, wishes?.min_quality ?? 0),
      maxCostUsd: maxCostNanos === undefined ? null : Number(maxCostNanos) / 1e9,
      usdPerSecondLate: Number(
        tier?.usdPerSecondLate ?? route?.usdPerSecondLate ?? (targetMs.length > 0 ? USD_PER_SECOND_LATE : 0),
      ),
      leastMarginShare: tier?.minMargin ?? null,
      maxLatencySeconds: leastSeconds(tier?.maxLatencyMs, route?.maxLatencyMs, wishes?.max_latency_ms),
      maxFirstTokenSeconds: streams
        ? leastSeconds(tier?.maxFirstTokenMs, route?.maxFirstTokenMs, wishes?.max_first_token_ms)
        : undefined,
      exploration:
        exploration === false || route === undefined
          ? null
          : exploration === undefined || typeof exploration !== 'object'
            ? DEFAULT_EXPLORATION
            : { ...exploration, spendOf: 'full', leastCostUsd: Number(exploration.leastCostUsd) },
    },
    revenueConfiguredUsd,
    revenueStated:
      wishes?.value_usd === undefined
        ? undefined
        : { usd: Number(wishes.value_usd), mostUsd: Number(tier?.maxValueUsd ?? 0) },
    maxCostNanos,
    targetSeconds: targetMs.length === 0 ? undefined : Math.min(...targetMs) / 1_000,
    deadlineSeconds: leastSeconds(wishes?.deadline_ms),
    backends: tier?.backends && new Set(tier.backends),
    regions: [tier?.regions, route?.regions].filter((regions) => regions !== undefined),
    substitution: wishes?.allow_substitution === true && tier?.allowSubstitution !== false,
    slotsLeftFree: SLOTS_LEFT_FREE[tier?.priority ?? (hasTiers ? 'normal' : 'high')],
    hedging: hedging === false ? undefined : hedging,
  };
  return withRevenue(policy, undefined);
}

/** What a conversion is expected to bring. */
export type ExpectedRevenue = Pick<NonNullable<DecisionPolicy['revenue']>, 'from'> & { usd: number };

/**
 * Under `margin`, what a conversion brings: as expected, or less where the caller says so; more only up to what its tier allows
 * by name, for what a conversion brings is known better by the books than by who asks.
 *
 * @param expected undefined: nothing was learned, and what is configured counts
 */
export function withRevenue(policy: RequestPolicy, expected: ExpectedRevenue | undefined): RequestPolicy {
  const { score, revenueConfiguredUsd: configuredUsd, revenueStated: stated } = policy;
  if (score.objective !== 'margin') return policy;
  const { usd, from } = expected ?? {
    usd: configuredUsd ?? 0,
    from: configuredUsd === undefined ? ('unknown' as const) : ('configured' as const),
  };
  const revenueUsd = stated === undefined ? usd : Math.min(stated.usd, Math.max(usd, stated.mostUsd));
  const revenue = { expectedUsd: usd, from, ...(configuredUsd === undefined ? {} : { configuredUsd }) };
  return { ...policy, score: { ...score, revenueUsd, revenue } };
}

/**
 * The policy of a request that is broken off at the deadline which its caller named; of one without it is the same.
 *
 * @param leftSeconds until whoever serves it breaks it off in any case, above 0
 */
export function brokenOffAfter(policy: RequestPolicy, leftSeconds: number): RequestPolicy {
  if (policy.deadlineSeconds === undefined) return policy;
  const deadlineSeconds = Math.min(policy.deadlineSeconds, leftSeconds);
  return { ...policy, score: { ...policy.score, deadlineSeconds } };
}

/** A substitute is as good as what was named when its expected quality is at most this far below. */
const AS_GOOD_WITHIN = 0.02;

/** What others are held to, who may answer in place of a backend that is expected to be of this quality. */
export function asGoodAs(policy: RequestPolicy, quality: number): RequestPolicy {
  const leastQuality = Math.max(policy.score.leastQuality, quality - AS_GOOD_WITHIN);
  return { ...policy, score: { ...policy.score, leastQuality } };
}

/** Who may answer in place of one that is named: the others of its routes, each once. */
export function substitutesOf<B>(routes: Iterable<{ backends: readonly B[] }>, named: B): B[] {
  const found = new Set<B>();
  for (const { backends } of routes) if (backends.includes(named)) for (const backend of backends) found.add(backend);
  found.delete(named);
  return [...found];
}

/** Undefined: none says. */
function leastSeconds(...ms: (number | undefined)[]): number | undefined {
  const least = Math.min(...ms.map((one) => one ?? Infinity));
  return least === Infinity ? undefined : least / 1_000;
}

/** Why a policy does not let a backend serve a request, whatever it could; undefined: it does. */
export function notAllowed(
  { backends, regions, score }: RequestPolicy,
  { id, region, credentials }: Pick<BackendConfig, 'id' | 'region' | 'credentials'>,
): string | undefined {
  if (backends?.has(id) === false) return `is not for the tier ${score.tier ?? ''}`;
  // A call may go by any of its credentials.
  const places = credentials?.map((c) => c.region ?? region) ?? [region];
  for (const list of regions)
    for (const place of places)
      if (place === undefined || !list.includes(place))
        return `is in ${place === undefined ? 'no region that is named' : `the region ${place}`}, not in ${list.join(' or ')}`;
  return undefined;
}

/** Who says what an answer is worth wants the best value, where nobody said otherwise. */
function objectiveOf(
  tier: TierConfig | undefined,
  route: RouteConfig | undefined,
  wishes: MeritorderOptions | null | undefined,
): DecisionPolicy['objective'] {
  const said = tier?.objective ?? route?.objective;
  return said ?? (worthOf(tier, route, wishes) === undefined ? 'cheapest' : 'value');
}

function worthOf(
  tier: TierConfig | undefined,
  route: RouteConfig | undefined,
  wishes: MeritorderOptions | null | undefined,
): number | undefined {
  const configured = tier?.usdPerQualityPoint ?? route?.usdPerQualityPoint;
  if (wishes?.value_usd === undefined) return configured === undefined ? undefined : Number(configured);
  const asked = Number(wishes.value_usd);
  return tier?.maxValueUsd === undefined ? asked : Math.min(asked, Number(tier.maxValueUsd));
}

/** What the customer of a tier would be charged for a request of this full cost, USD; undefined: the tier has no charge. */
export function chargedUsd(tier: TierConfig | undefined, fullUsd: number): number | undefined {
  return chargeOf(tier)?.(fullUsd);
}

/** The same for many costs: the tier is read once. */
export function chargeOf(tier: TierConfig | undefined): ((fullUsd: number) => number) | undefined {
  if (tier?.charge === undefined) return undefined;
  const markup = Number(tier.charge.markup);
  const usdPerRequest = Number(tier.charge.usdPerRequest);
  return (fullUsd) => markup * fullUsd + usdPerRequest;
}
