import { z } from 'zod';
import { Objective } from '../events/routing-decision-made.v1.js';
import { AttributionValue, Slug } from '../primitives.js';
import { Usd } from './decimals.js';

const Share = z.number().min(0).max(1);

const ExplorationConfig = z.strictObject({
  spendShare: Share.default(0.02).meta({
    description:
      'Most that exploring may add to the expected spend, as a share of what the best candidate costs: its full cost, its share of own hardware included.',
  }),
  leastCostUsd: Usd.default('0.00001').meta({
    description: 'What the best candidate is taken to cost at least: of a free one a share would be nothing.',
  }),
  revenueShare: Share.default(0.01).meta({
    description:
      'Most that exploring may cost, in money and in value lost, as a share of what requests bring: what their customers are charged, and the expected revenue of conversions under `margin`. Where neither is known, only the other shares count.',
  }),
  requestShare: Share.default(0.1).meta({ description: 'Most requests that go elsewhere than to the best candidate.' }),
  holdOutShare: Share.default(0.01).meta({
    description:
      'Customers whose requests are served by the configured priors alone, to measure what learning is worth.',
  }),
});

const HedgingConfig = z.strictObject({
  requestShare: z.number().gt(0).max(0.5).default(0.02).meta({
    description: 'Most requests that get a second call, by router, for example 0.05.',
  }),
  usdPerHour: Usd.default('1').meta({ description: 'Most that second calls are expected to cost, by router.' }),
  afterShare: z.number().min(0.5).max(0.999).default(0.95).meta({
    description:
      'Sent when the first token (of an answer that does not stream: the answer) is later than it is in this share of requests, as learned of the backend.',
  }),
  afterSeconds: z.number().min(0.01).max(600).optional().meta({
    description: 'Sent after so many seconds instead.',
  }),
});

/** What a route and a tier can both say; the tier's word counts. */
export const RoutingSettings = {
  objective: Objective.optional().meta({
    description:
      'cheapest: least cost above the quality floor. value: most value less cost. margin: most expected revenue less cost. quality: the best that the shadow prices of the budgets allow. Default: value where `usdPerQualityPoint` is said, else cheapest.',
  }),
  minQuality: Share.optional().meta({ description: 'Floor of the expected quality, 0 to 1.' }),
  usdPerQualityPoint: Usd.optional().meta({
    description:
      'What a quality of 1 is worth where the caller does not say (`value_usd`). `value` needs it, here or on every route; under `quality` the default is 1.',
  }),
  revenueUsd: Usd.optional().meta({
    description:
      'Of margin: what a conversion brings. What is reported of the same tier and feature outweighs it by and by: it counts as 20 conversions.',
  }),
  regions: z.array(Slug).min(1).max(64).optional().meta({
    description:
      'The only regions whose backends may serve it; one that names no region may not. Where a route and a tier both say some, both count. Default: any.',
  }),
  targetLatencyMs: z
    .int()
    .min(1)
    .max(3_600_000)
    .optional()
    .meta({ description: 'From here on an answer is late; `deadline_ms` of the caller counts where it is shorter.' }),
  maxLatencyMs: z.int().min(1).max(3_600_000).optional().meta({
    description:
      'Ceiling of the expected time to the whole answer: a backend above it is not asked. One that was not measured lately gets a few requests first. The least of route, tier and `max_latency_ms` of the caller counts.',
  }),
  maxFirstTokenMs: z.int().min(1).max(3_600_000).optional().meta({
    description:
      'The same for the first token of a stream, with `max_first_token_ms` of the caller; answers in one piece have none.',
  }),
  usdPerSecondLate: Usd.optional().meta({ description: 'What a second beyond it costs. Default: 0.0001.' }),
  exploration: z
    .union([z.literal(false), ExplorationConfig])
    .optional()
    .meta({ description: 'false: the best is always taken, and nothing is learned of the others.' }),
  hedging: z
    .union([z.literal(false), HedgingConfig])
    .optional()
    .meta({
      description:
        'A second call to another backend when the first shows no token in time; whoever is first answers, and both are paid. {}: with the defaults. Default: false.',
    }),
};

export type HedgingConfig = z.infer<typeof HedgingConfig>;

export const RouteConfig = z.strictObject({
  id: Slug,
  name: z.string().max(128).optional(),
  backends: z.array(Slug).max(64),
  aliases: z.array(z.string().min(1).max(128)).max(64).default([]).meta({
    description:
      'Further names that clients may ask for it by, for example gpt-4.1: before the models that providers call so.',
  }),
  ...RoutingSettings,
});
export type RouteConfig = z.infer<typeof RouteConfig>;

export const TierConfig = z.strictObject({
  id: AttributionValue.meta({ description: 'The value of the attribute `tier`.' }),
  name: z.string().max(128).optional(),
  orgs: z.array(Slug).min(1).optional().meta({ description: 'Whose requests can be of this tier. Default: all.' }),
  backends: z
    .array(Slug)
    .min(1)
    .max(1_000)
    .optional()
    .meta({ description: 'The only ones that serve it. Default: all.' }),
  ...RoutingSettings,
  maxCostUsd: Usd.optional().meta({
    description:
      'The most that others may charge for a request, as an upper bound, all its attempts together; own hardware does not count. `max_cost_usd` can only be less.',
  }),
  maxValueUsd: Usd.optional().meta({
    description:
      'The most that `value_usd` counts. Default: no limit; under margin, that `value_usd` cannot raise what a conversion brings.',
  }),
  allowSubstitution: z.boolean().default(true).meta({ description: 'Whether `allow_substitution` is heard.' }),
  priority: z.enum(['low', 'normal', 'high']).default('normal').meta({
    description:
      'Of own hardware: low leaves a fifth of the slots of a replica free for others, normal a twentieth, high none.',
  }),
  charge: z
    .strictObject({
      markup: z
        .string()
        .regex(/^\d{1,3}(\.\d{1,6})?$/)
        .default('1')
        .meta({ description: 'On the full cost, for example "1.25".' }),
      usdPerRequest: Usd.default('0'),
    })
    .optional()
    .meta({
      description:
        'What the customer is charged for a request that was answered, once, whatever its attempts cost. Absent: nothing.',
    }),
  minMargin: z.number().min(-10).max(1).optional().meta({
    description: 'Least (charge - full cost) / charge of a candidate, for example 0.2; needs charge.',
  }),
});
export type TierConfig = z.infer<typeof TierConfig>;

type Issue = (path: (string | number)[], message: string) => void;

type Settings = Pick<RouteConfig, 'objective' | 'usdPerQualityPoint' | 'revenueUsd' | 'regions'>;

/** Settings of routes and tiers that would change nothing, or leave an objective without the figure that it is about. */
export function checkObjectives(
  config: { routes: RouteConfig[]; tiers: TierConfig[] },
  regions: ReadonlySet<string>,
  issue: Issue,
): void {
  const { routes, tiers } = config;
  // A tier's word counts before the route's, so what one leaves open the other may say.
  const check = (kind: 'routes' | 'tiers', own: readonly Settings[], others: readonly Settings[]): void =>
    own.forEach(({ objective, usdPerQualityPoint, revenueUsd, regions: only }, i) => {
      const worthElsewhere =
        kind === 'tiers' && others.length > 0 && others.every((o) => o.usdPerQualityPoint !== undefined);
      if (objective === 'value' && usdPerQualityPoint === undefined && !worthElsewhere)
        issue(
          [kind, i, 'usdPerQualityPoint'],
          'is missing: the objective value weighs cost against it; "0" if only the value_usd of callers counts',
        );
      const mayBe = (wanted: readonly string[]): boolean =>
        [objective, ...(kind === 'routes' || objective === undefined ? others.map((o) => o.objective) : [])].some(
          (said) => said !== undefined && wanted.includes(said),
        );
      if (usdPerQualityPoint !== undefined && objective !== undefined && !mayBe(['value', 'quality']))
        issue([kind, i, 'usdPerQualityPoint'], `counts nothing under the objective ${objective}`);
      if (revenueUsd !== undefined && !mayBe(['margin']))
        issue([kind, i, 'revenueUsd'], 'counts only under the objective margin');
      only?.forEach((region, j) => {
        if (!regions.has(region)) issue([kind, i, 'regions', j], `no backend is in "${region}"`);
      });
    });
  check('routes', routes, tiers);
  check('tiers', tiers, routes);
}

/** (charge - full cost) / charge of a tier that charges by markup alone, whatever the cost; undefined: it depends on that. */
function marginOfMarkup({ charge }: TierConfig): number | undefined {
  if (charge === undefined || Number(charge.usdPerRequest) > 0) return undefined;
  return 1 - 1 / Number(charge.markup);
}

/** What a tier cannot be alone: names that must exist, one meaning of a tier per org, and settings that need one another. */
export function checkTiers(
  config: {
    tiers: TierConfig[];
    orgs: { id: string; defaultTier?: string | undefined; keys: { tier?: string | undefined }[] }[];
  },
  orgs: ReadonlySet<string>,
  backends: ReadonlySet<string>,
  issue: Issue,
): void {
  const meanings = new Set<string>();
  config.tiers.forEach((tier, i) => {
    tier.orgs?.forEach((org, j) => {
      if (!orgs.has(org)) issue(['tiers', i, 'orgs', j], `"${org}" is not an org`);
    });
    tier.backends?.forEach((id, j) => {
      if (!backends.has(id)) issue(['tiers', i, 'backends', j], `"${id}" is not a backend`);
    });
    for (const org of tier.orgs ?? orgs) {
      const meaning = JSON.stringify([org, tier.id]);
      if (meanings.has(meaning)) issue(['tiers', i, 'id'], `"${tier.id}" is there twice for the org "${org}"`);
      meanings.add(meaning);
    }
    if (tier.minMargin !== undefined && tier.charge === undefined) issue(['tiers', i, 'minMargin'], 'needs charge');
    const margin = marginOfMarkup(tier);
    if (margin !== undefined && tier.minMargin !== undefined && tier.minMargin > margin + 1e-9)
      issue(
        ['tiers', i, 'minMargin'],
        `is never met: a markup of ${tier.charge!.markup} leaves ${Number.isFinite(margin) ? margin.toPrecision(3) : 'nothing'}, whatever a request costs; every request would be refused`,
      );
  });
  config.orgs.forEach(({ id, defaultTier, keys }, i) => {
    const isTier = (tier: string): boolean => meanings.has(JSON.stringify([id, tier]));
    if (defaultTier !== undefined && !isTier(defaultTier))
      issue(['orgs', i, 'defaultTier'], `"${defaultTier}" is not a tier of this org`);
    // Of an org without tiers the attribute is a name like any other; of others each request of the key would be refused.
    if (!config.tiers.some(({ orgs: only }) => only?.includes(id) ?? true)) return;
    keys.forEach(({ tier }, j) => {
      if (tier !== undefined && !isTier(tier))
        issue(['orgs', i, 'keys', j, 'tier'], `"${tier}" is not a tier of this org`);
    });
  });
}
