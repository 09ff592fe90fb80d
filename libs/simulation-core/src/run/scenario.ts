import type { EnforcedBudget, OrgRate } from '@meritorder/budget-core';
import type { Attribution, MeritorderConfig, PriceVersion, TierConfig } from '@meritorder/contracts';
import { unlearnedLengths, type OutputLengths } from '@meritorder/estimate-core';
import { hashUnit } from '@meritorder/kernel';
import type { CatalogueEntry } from '@meritorder/pricing-core';
import {
  notAllowed,
  brokenOffAfter,
  policyFor,
  requirementsOf,
  substitutesOf,
  type BackendView,
  type RequestPolicy,
  type Requirements,
} from '@meritorder/routing-core';
import { SimulatedBackend } from '../fleet/simulated-backend.js';
import { priceTimeline } from '../money/price-timeline.js';
import type { SimulatedBudgets } from '../money/simulated-budgets.js';
import { WorkloadError, type RequestProfile } from '../workload/workload.js';

/** What of a run is not in the configuration. */
export interface ScenarioSettings {
  /** Of requests that name no route; default: the first route, or the first backend. */
  route?: string | undefined;
  /** Of requests that do not say: the most output tokens; undefined: as many as the backend gives. */
  maxTokens?: number | undefined;
  /** In front of a replica of own hardware that is full; default 0, for routers dispatch to free slots. */
  waitingPlaces?: number | undefined;
  /** Quality by backend and tag, where it is known better than the configured prior or a record has it; a tag is `feature=chatbot` or `task=sql`. */
  quality?: QualityTable | undefined;
}
export type QualityTable = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Of a table of qualities, the last that counts first. */
export const TAGS_OF_QUALITY = ['task', 'feature', 'tier', 'department'] as const;

/** A backend for the requests of one profile. */
export interface Lane {
  backend: SimulatedBackend;
  view: BackendView & { workersWithRoom: number };
  /** By the attributes of the request and its own. */
  budgets: readonly EnforcedBudget[];
  quality: number;
  /** Whether it is of the table, whose word counts before a record's. */
  qualityFromTable: boolean;
}

/** What the requests of one profile have in common under one configuration. */
export type Prepared =
  | { refusal: string }
  | {
      refusal: undefined;
      /** The quota of its org; undefined: it has none. */
      orgRate: OrgRate | undefined;
      tier: TierConfig | undefined;
      policy: RequestPolicy;
      /** The backend that is named, in whose place others may answer that are as good; undefined: there is none. */
      named: string | undefined;
      requirements: Requirements;
      lanes: Lane[];
      /** Undefined: its customer is not known, so each request draws. */
      holdOut: number | undefined;
      /** Lengths of answers are learned by these, the most general first. */
      lengths: OutputLengths[];
    };

/** A configuration on the virtual clock. */
export class Scenario {
  private readonly backends: Map<string, SimulatedBackend>;
  private readonly lengths = new Map<string, OutputLengths>();

  /** @throws PriceConfigError where a backend's prices cannot be read */
  constructor(
    private readonly config: MeritorderConfig,
    private readonly settings: ScenarioSettings,
    private readonly budgets: SimulatedBudgets,
    catalogueOf: (name: string) => readonly CatalogueEntry[],
    period: { fromMs: number; toMs: number },
    booked: readonly PriceVersion[],
  ) {
    this.backends = new Map(
      config.backends.map((backend) => [
        backend.id,
        new SimulatedBackend(
          backend,
          priceTimeline(backend, config, catalogueOf, period, booked),
          settings.waitingPlaces ?? 0,
        ),
      ]),
    );
    for (const [id, of] of Object.entries(settings.quality ?? {})) {
      if (!this.backends.has(id)) throw new WorkloadError(`the table of qualities names "${id}", which is no backend`);
      const unknown = Object.keys(of).find((tag) => !isTag(tag));
      if (unknown !== undefined)
        throw new WorkloadError(
          `the table of qualities has "${unknown}" of "${id}"; a tag is "*", or one of ${TAGS_OF_QUALITY.join(', ')} with its value, as in "task=sql"`,
        );
    }
  }

  allBackends(): SimulatedBackend[] {
    return [...this.backends.values()];
  }

  /** As it is configured, also where the policy does not let it serve. */
  priorQualityOf(backend: string): number {
    return this.backends.get(backend)!.priorQuality;
  }

  accountOf(provider: string): MeritorderConfig['accounts'][number] | undefined {
    return this.config.accounts.find((a) => a.provider === provider);
  }

  /** As a router reads a request: org, route, tier, policy, and who may serve it. */
  prepare(profile: RequestProfile): Prepared {
    const asked = askedOf(this.config, profile, this.settings.route);
    if (asked.refusal !== undefined) return asked;
    const { routeId, tier, policy, named, attribution, backends } = asked;
    const { maxTokens } = this.settings;
    return {
      refusal: undefined,
      orgRate: this.orgRateOf(attribution.org),
      tier,
      policy: profile.isJob ? policy : brokenOffAfter(policy, this.config.limits.requestDeadlineMs / 1_000),
      named,
      requirements: requirementsOf({
        model: routeId,
        messages: [{ role: 'user', content: '' }],
        ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
      }),
      lanes: backends.map((id) => this.lane(this.backends.get(id)!, attribution)),
      holdOut: holdOutOf(attribution),
      lengths: this.lengthsOf(routeId, attribution),
    };
  }

  private orgRateOf(org: string): OrgRate | undefined {
    const requestsPerMinute = this.config.orgs.find((o) => o.id === org)?.quotas?.requestsPerMinute;
    return requestsPerMinute === undefined ? undefined : { org, requestsPerMinute };
  }

  private lane(backend: SimulatedBackend, attribution: Attribution): Lane {
    const { config } = backend;
    const ofTable = this.qualityOfTable(config.id, attribution);
    const attributes = { ...attribution, provider: config.provider, model: config.model, backend: config.id };
    return {
      backend,
      view: { backend: config, price: undefined, workersAlive: 1, workersWithRoom: 1, breakerClosed: true },
      budgets: this.budgets.matching(attributes),
      quality: ofTable ?? backend.priorQuality,
      qualityFromTable: ofTable !== undefined,
    };
  }

  /** By the last tag that is in the table: task, then feature, then tier, then the backend alone; undefined: it says nothing. */
  private qualityOfTable(backend: string, attribution: Attribution): number | undefined {
    const table = this.settings.quality?.[backend] ?? {};
    for (const key of TAGS_OF_QUALITY) {
      const known = table[`${key}=${attribution[key]}`];
      if (known !== undefined) return known;
    }
    return table['*'];
  }

  private lengthsOf(route: string, { task, feature, tier }: Attribution): OutputLengths[] {
    const keys = [route, JSON.stringify([route, task, feature, tier])];
    return keys.map((key) => {
      let known = this.lengths.get(key);
      if (!known) this.lengths.set(key, (known = unlearnedLengths()));
      return known;
    });
  }
}

function isTag(text: string): boolean {
  return text === '*' || TAGS_OF_QUALITY.some((key) => text.startsWith(`${key}=`));
}

/** What a configuration makes of requests of a profile: route, tier, policy, and the backends that may serve them. */
export function askedOf(
  config: MeritorderConfig,
  profile: RequestProfile,
  otherwise?: string,
):
  | { refusal: string }
  | {
      refusal: undefined;
      routeId: string;
      tier: TierConfig | undefined;
      policy: RequestPolicy;
      /** The backend that is named, in whose place others may answer that are as good; undefined: there is none. */
      named: string | undefined;
      attribution: Attribution;
      backends: string[];
    } {
  const org = profile.org === undefined ? config.orgs[0]! : config.orgs.find((o) => o.id === profile.org);
  if (!org) return { refusal: 'org_unknown' };
  const { department } = profile.attributes;
  if (department !== undefined && !org.departments.includes(department)) return { refusal: 'department_unknown' };
  const routeId = profile.route ?? otherwise ?? config.routes[0]?.id ?? config.backends[0]!.id;
  const route = config.routes.find((r) => r.id === routeId);
  if ((!route && !config.backends.some((b) => b.id === routeId)) || (org.routes && !org.routes.includes(routeId)))
    return { refusal: 'route_unknown' };
  const tiers = config.tiers.filter((t) => t.orgs?.includes(org.id) ?? true);
  const tierId = profile.attributes.tier ?? org.defaultTier;
  const tier = tiers.find((t) => t.id === tierId);
  if (tiers.length > 0 && tierId !== undefined && !tier) return { refusal: 'tier_unknown' };
  const attribution: Attribution = { ...profile.attributes, org: org.id, ...(tierId ? { tier: tierId } : {}) };
  const { wishes, streams } = profile;
  const policy = policyFor({
    route,
    tier,
    hasTiers: tiers.length > 0,
    wishes,
    ...(streams === undefined ? {} : { streams }),
  });
  const named = route === undefined && policy.substitution ? routeId : undefined;
  const others = named === undefined ? [] : substitutesOf(config.routes, named);
  const ids = [...(route?.backends ?? [routeId]), ...others.filter((id) => org.routes?.includes(id) ?? true)];
  const allowed = (id: string): boolean =>
    notAllowed(
      policy,
      config.backends.find((b) => b.id === id)!,
    ) === undefined;
  return { refusal: undefined, routeId, tier, policy, named, attribution, backends: ids.filter(allowed) };
}

/** The same customers as in the routers. */
function holdOutOf({ org, customer, user, key }: Attribution): number | undefined {
  const who = customer ?? user ?? key;
  return who === undefined ? undefined : hashUnit(`hold-out ${org} ${who}`);
}
