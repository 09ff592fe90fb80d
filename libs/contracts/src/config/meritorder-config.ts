import { z } from 'zod';
import { OPERATOR_ORG } from '../internal/budget-definition.v1.js';
import { AttributionValue, Kind, Slug, USAGE_UNITS } from '../primitives.js';
import { BudgetConfig, checkBudgets } from './budgets-config.js';
import { GatewayConfig } from './gateway-config.js';
import { HostConfig, ThroughputConfig } from './hosts-config.js';
import { KEY_TERMS } from './key-terms.js';
import { NatsConfig, QuotasConfig } from './nats-config.js';
import { checkObjectives, checkTiers, RouteConfig, TierConfig } from './routing-config.js';
import { AccountConfig, ExchangeRateConfig, OtherModelConfig, PriceConfig } from './prices-config.js';
import { BatchConfig, checkBatch } from './batch-config.js';
import { selectorNames } from './selector-names.js';
import { PROTOCOLS, providerFields, regionsOf, withBaseUrl } from './providers-config.js';

const Milliseconds = z.int().min(1).max(3_600_000);

export const CAPABILITIES = ['tools', 'vision', 'json', 'choices', 'logprobs', 'streaming'] as const;
export type Capability = (typeof CAPABILITIES)[number];

const BackendFields = z.strictObject({
  id: Slug,
  name: z.string().max(128).optional().meta({ description: 'For people. Default: the id.' }),
  kind: z
    .enum(['cloud', 'local'])
    .meta({ description: 'cloud: called by a provider-worker; local: by the local-worker of its host.' }),
  provider: Slug.meta({
    description: 'Whose account pays, for example openai; for own hardware the owner of the host.',
  }),
  host: Slug.optional().meta({ description: 'The GPU host of a local backend.' }),
  model: z.string().min(1).max(128).meta({ description: 'The name the provider knows the model by.' }),
  protocol: z.enum(PROTOCOLS).default('openai'),
  ...providerFields,
  contextTokens: z.int().min(1),
  maxOutputTokens: z
    .int()
    .min(1)
    .meta({ description: 'The most that one choice can have; bounds a request without max_tokens.' }),
  capabilities: z.array(z.enum(CAPABILITIES)).default(['streaming']),
  kinds: z
    .array(Kind.exclude(['responses']))
    .min(1)
    .optional()
    .meta({
      description:
        'Kinds of requests it serves. Default: chat and messages; one of the two is translated where the protocol does not have it. Whoever serves chat serves responses, which are sent as chat completions. An embedding model needs [embeddings].',
    }),
  maxConcurrency: z.int().min(1).max(10_000).default(64).meta({ description: 'Calls in flight per worker.' }),
  templateTokensPerMessage: z
    .int()
    .min(0)
    .max(10_000)
    .default(16)
    .meta({ description: 'Upper bound of what the chat template adds to each message.' }),
  batch: BatchConfig.optional().meta({
    description:
      "It is asked in batches, over the provider's batch API (protocol openai, azure, anthropic, gemini or bedrock), and charges its service tier `batch`: it takes jobs alone, those whose deadline leaves `completionSeconds`. `maxConcurrency` is how many are in one batch at most.",
  }),
  connectTimeoutMs: Milliseconds.default(5_000),
  firstTokenTimeoutMs: Milliseconds.optional().meta({
    description:
      'Of a stream: for the first word, or thought that is shown. Default: 60000, and 300000 where the request asks for reasoning (`reasoning_effort` or `reasoning.effort` but `none` and `minimal`, `thinking`) or the backend has `hiddenOutput`, since then a model may be silent for minutes.',
  }),
  betweenTokensTimeoutMs: Milliseconds.default(300_000).meta({
    description:
      'Of a stream that has begun. Some providers are silent for minutes while they gather the arguments of a tool, or think unseen.',
  }),
  catalogue: z
    .union([z.literal(false), z.string().regex(/^[^/]+\/.+$/)])
    .optional()
    .meta({
      description:
        'What the price catalogue knows the model as, for example "openai/gpt-4.1"; false: not to be asked. Default for a cloud backend: provider/model.',
    }),
  prices: z
    .array(PriceConfig)
    .max(1_000)
    .default([])
    .meta({ description: "Laid over the catalogue's. Without any price the backend gets no budgeted traffic." }),
  otherModels: z
    .array(OtherModelConfig)
    .max(16)
    .default([])
    .meta({ description: 'Models that may answer in place of `model`, with their prices.' }),
  modelAliases: z
    .array(z.string().max(256))
    .max(64)
    .default([])
    .meta({ description: 'Names under which `model` itself answers, beside its dated versions.' }),
  unitBounds: z
    .partialRecord(z.enum(USAGE_UNITS), z.int().min(0).max(10_000_000))
    .default({})
    .meta({ description: 'The most of a unit that one request can use, for example webSearches: 10.' }),
  maxTokensPerImage: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .meta({ description: 'The most input tokens that one image can cost. Without it images are refused.' }),
  maxTokensPerFile: z.int().min(1).max(10_000_000).optional().meta({
    description:
      "The most input tokens that one file can cost: a `file` of a chat completion, an `input_file` of responses, a PDF or another `document` of Anthropic's that is not text. Without it files are refused; they need `vision`, as their pages may be pictures.",
  }),
  maxTokensPerAudio: z.int().min(1).max(10_000_000).optional().meta({
    description:
      'The most input tokens that one part of audio (`input_audio`) can cost. Says that the model hears; without it audio is refused.',
  }),
  maxToolInputTokens: z.int().min(0).max(100_000_000).optional().meta({
    description:
      "The most input tokens that the provider's own tools (searches of the web, of files or of tools, execution) can add to one request: what they fetch is billed as input. Without it requests with such tools are refused.",
  }),
  withoutUsage: z.enum(['bound', 'estimate']).optional().meta({
    description:
      'When the backend says nothing of its usage: book the upper bound, unconfirmed, until an invoice tells; or book what is counted here, marked as estimated. Default: bound for cloud, estimate for local.',
  }),
  statedCharge: z.boolean().optional().meta({
    description:
      'Books what the provider says that a call was charged (OpenRouter and Perplexity: `usage.cost`, xAI: `usage.cost_in_usd_ticks`; times `accountFactor`), in place of tokens times prices. What says nothing is booked by its tokens. Choices, holds and bounds go by `prices` all the same, so these should be the most that may be charged. Only of the protocol openai. Default: true for the provider openrouter, where every call may have another price; else false.',
  }),
  throughput: ThroughputConfig.optional(),
  quality: z
    .strictObject({
      prior: z.number().min(0).max(1),
      outcomes: z.number().min(1).max(10_000).default(20).meta({
        description:
          'Reports that overrule it by half, whatever tags their requests have. Where complaints alone are reported, an answer that nobody complains of is half a report.',
      }),
    })
    .optional()
    .meta({
      description: 'How good its answers are, 0 to 1, before anything is reported. Default: .75, soon overruled.',
    }),
  latency: z
    .strictObject({
      firstTokenSeconds: z.number().gt(0).max(3_600),
      secondsPerToken: z.number().gt(0).max(60),
    })
    .optional()
    .meta({ description: 'Before it was measured. Default: of own hardware by its throughput, else 1 s and 15 ms.' }),
  hiddenOutput: z.boolean().optional().meta({
    description:
      'Whether it bills output that it does not stream, such as hidden reasoning: then nobody can watch it, and tolerant budgets hold the upper bound too.',
  }),
});
const EMBEDDING_PROTOCOLS: readonly string[] = ['openai', 'azure'];

export const BackendConfig = BackendFields.transform((backend, ctx) => {
  const issue = (path: (string | number)[], message: string): void => ctx.addIssue({ code: 'custom', path, message });
  checkBatch(backend, issue);
  if (backend.statedCharge && backend.protocol !== 'openai')
    issue(['statedCharge'], 'what a call was charged is said in the protocol openai alone');
  if (backend.kinds?.includes('embeddings') && !EMBEDDING_PROTOCOLS.includes(backend.protocol))
    issue(['kinds'], `embeddings are asked for over the protocols ${EMBEDDING_PROTOCOLS.join(' and ')} alone`);
  return withBaseUrl(backend, issue);
});
export type BackendConfig = z.infer<typeof BackendConfig>;

/** What an engine becomes that the worker of a host finds: all of a backend that the engine does not say itself. */
const JoinConfig = BackendFields.omit({
  id: true,
  name: true,
  kind: true,
  host: true,
  model: true,
  baseUrl: true,
  contextTokens: true,
  batch: true,
}).extend({
  host: Slug.meta({ description: 'Its worker may join, as the NATS user local-worker-<host>.' }),
  model: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .meta({ description: 'The model it is for. Default: any that no other entry of the host names.' }),
  contextTokens: z.int().min(1).optional().meta({
    description:
      'The most; needed where the engine does not say (Ollama of a model without `num_ctx` that was not loaded yet: no more than its OLLAMA_CONTEXT_LENGTH).',
  }),
  routes: z
    .array(Slug)
    .max(64)
    .default([])
    .meta({ description: 'Which it joins. Its id, <host>-<model>, is a route of its own.' }),
});
export type JoinConfig = z.infer<typeof JoinConfig>;

const KeyConfig = z.strictObject({
  id: Slug,
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional()
    .meta({ description: 'Hex SHA-256 of the key.' }),
  secretEnv: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]*$/)
    .optional()
    .meta({ description: 'Environment variable with the key; NAME_FILE names a file instead.' }),
  ...KEY_TERMS,
});
export type KeyConfig = z.infer<typeof KeyConfig>;

const OrgConfig = z.strictObject({
  id: Slug,
  name: z.string().max(128).optional(),
  departments: z
    .array(AttributionValue)
    .max(10_000)
    .default([])
    .meta({ description: 'The only departments a request may name.' }),
  keys: z.array(KeyConfig).max(10_000).default([]),
  requireKey: z.boolean().default(false),
  defaultTier: AttributionValue.optional().meta({ description: 'Of requests that name none.' }),
  routes: z.array(Slug).optional().meta({ description: 'Routes and backends this org may use. Default: all.' }),
  quotas: QuotasConfig.optional().meta({ description: 'The most that the org may ask of everybody.' }),
  gpuWeight: z.number().gt(0).max(1_000).optional().meta({
    description:
      'Its part of own hardware when orgs compete for the slots of a replica, relative to others. Default: 1. What others do not use it may have.',
  }),
  shareLearning: z.boolean().default(false).meta({
    description:
      'Whether lengths of answers, token counts and quality are learned together with other orgs that say so.',
  }),
  subscribers: z
    .array(
      z.strictObject({
        name: Slug,
        context: z.enum(['budget', 'policy', 'inference', 'metering', 'routing', 'outcome', 'quality']),
      }),
    )
    .max(32)
    .default([
      { name: 'alerts', context: 'budget' },
      { name: 'results', context: 'inference' },
    ]),
});
export type OrgConfig = z.infer<typeof OrgConfig>;

export const MeritorderConfig = z
  .strictObject({
    version: z.literal(1),
    orgs: z.array(OrgConfig).min(1).max(10_000),
    backends: z.array(BackendConfig).max(1_000),
    routes: z.array(RouteConfig).default([]),
    tiers: z.array(TierConfig).max(1_000).default([]).meta({ description: 'Classes of customers.' }),
    budgets: z.array(BudgetConfig).max(100_000).default([]),
    hosts: z.array(HostConfig).max(10_000).default([]).meta({ description: 'Own hardware, and what it costs.' }),
    joins: z.array(JoinConfig).max(1_000).default([]).meta({
      description: 'Hosts whose workers may join while everything runs, and what the engines they find become.',
    }),
    accounts: z.array(AccountConfig).max(1_000).default([]),
    exchangeRates: z.array(ExchangeRateConfig).max(10_000).default([]),
    nats: NatsConfig.prefault({}).meta({ description: 'Who may connect to NATS, beside users with passwords.' }),
    gateway: GatewayConfig.prefault({}).meta({ description: 'The HTTP edge, beside its limits.' }),
    limits: z
      .strictObject({
        bodyBytes: z.int().min(1_024).max(8_000_000).default(8_000_000).meta({
          description:
            'Of a request: pictures are most of it, a third larger than their files. The most is what NATS carries.',
        }),
        requestsInFlightPerRouter: z.int().min(1).max(100_000).default(2_000),
        waitForSlotMs: z.int().min(0).max(3_600_000).default(30_000).meta({
          description:
            'How long a request may wait while all who could take it have `maxConcurrency` calls in flight: no longer than its own deadline, nor than a ceiling of its latency. 0: it is refused at once.',
        }),
        requestsWaitingPerRouter: z.int().min(0).max(100_000).default(1_000).meta({
          description: 'Of all orgs, for a slot. Each is one of those in flight, and keeps its body in memory.',
        }),
        requestsWaitingPerOrg: z.int().min(0).max(100_000).default(250).meta({
          description: 'Of one org at one router, for a slot, so that it does not take the place of all others.',
        }),
        requestsInFlightPerGateway: z.int().min(1).max(100_000).default(2_000),
        requestsInFlightPerKey: z.int().min(1).max(100_000).default(1_000).meta({
          description: 'Of one API key at one gateway, so that one caller does not take the place of all others.',
        }),
        headerBytes: z.int().min(1_024).max(1_048_576).default(16_384).meta({
          description: 'Of an HTTP request, all headers together.',
        }),
        responsesKeptHours: z.int().min(0).max(8_760).default(24).meta({
          description:
            'How long the gateway keeps what is answered on `/v1/responses`, and what was asked, so that a later request can go on from it by its id; never where that says `store: false`. 0: nothing is kept.',
        }),
        requestReadTimeoutMs: Milliseconds.default(30_000).meta({
          description: 'For the headers and the body of an HTTP request to arrive.',
        }),
        jobsInFlightPerRouter: z.int().min(1).max(10_000).default(32),
        requestDeadlineMs: Milliseconds.default(600_000).meta({
          description:
            "All that a request may take, streams included: a long answer of a slow model takes its tokens divided by its speed. The default is that of OpenAI's and Anthropic's SDKs.",
        }),
        drainMs: z.int().min(0).max(3_600_000).default(25_000).meta({
          description:
            "After SIGTERM, how long gateways, routers and workers go on with what they have in hand: what is not done then is broken off, and says so. Whoever stops them has to wait longer, by 5 s: `stop_grace_period` of docker compose (the default fits its 30 s, and Kubernetes' 30 s). Above `requestDeadlineMs` nothing is left to wait for.",
        }),
        reservationLeaseMs: z.int().min(1_000).max(60_000).default(20_000),
        /** Past its deadline, an opened attempt that nobody closed becomes an unconfirmed charge. */
        unconfirmedGraceMs: Milliseconds.default(10_000),
        streamWindowChunks: z.int().min(2).max(4_096).default(64),
        streamAckTimeoutMs: Milliseconds.default(15_000),
        governedQuantile: z.enum(['p95', 'p99']).default('p95').meta({
          description:
            'Of a request that only tolerant budgets pay for: the learned length of its answer that is held.',
        }),
        decisionRetentionDays: z.int().min(8).max(3_650).default(90).meta({
          description:
            'How long decisions and the outcomes of their requests stay on record, for `explain` and replays.',
        }),
        governedSliceTokens: z.int().min(1).max(100_000).default(256).meta({
          description: 'Output tokens by which such a hold grows while it streams, unless its budget says.',
        }),
      })
      .prefault({}),
  })
  .superRefine((config, ctx) => {
    const issue = (path: (string | number)[], message: string) => ctx.addIssue({ code: 'custom', path, message });
    const unique = (list: { id: string }[], name: string) => {
      const seen = new Set<string>();
      list.forEach((entry, i) => {
        if (seen.has(entry.id)) issue([name, i, 'id'], `"${entry.id}" is used twice`);
        seen.add(entry.id);
      });
      return seen;
    };
    const orgs = unique(config.orgs, 'orgs');
    const backends = unique(config.backends, 'backends');
    const routes = unique(config.routes, 'routes');
    unique(config.budgets, 'budgets');
    const hosts = unique(config.hosts, 'hosts');
    const currencies = new Set(config.exchangeRates.map((r) => r.currency));
    config.routes.forEach((route, i) => {
      if (backends.has(route.id))
        issue(['routes', i, 'id'], `"${route.id}" is also a backend; a backend's own name is a route of one`);
      route.backends.forEach((id, j) => {
        if (!backends.has(id)) issue(['routes', i, 'backends', j], `"${id}" is not a backend`);
        if (route.backends.indexOf(id) < j) issue(['routes', i, 'backends', j], `"${id}" is there twice`);
      });
    });
    const names = new Set([...routes, ...backends]);
    config.routes.forEach((route, i) =>
      route.aliases.forEach((alias, j) => {
        if (names.has(alias))
          issue(['routes', i, 'aliases', j], `"${alias}" is a route, a backend or an alias already`);
        names.add(alias);
      }),
    );
    config.backends.forEach((backend, i) => {
      if (backend.kind === 'local' && !backend.host) issue(['backends', i, 'host'], 'a local backend needs its host');
      if (backend.throughput && !(backend.host && hosts.has(backend.host)))
        issue(['backends', i, 'throughput'], `needs its host "${backend.host ?? ''}" in hosts`);
      const host = config.hosts.find((h) => h.id === backend.host);
      if (host && backend.throughput && backend.throughput.gpus > host.gpus)
        issue(['backends', i, 'throughput', 'gpus'], `the host "${host.id}" has ${host.gpus}`);
      const from = new Set<string>();
      backend.prices.forEach((price, j) => {
        if (from.has(price.effectiveFrom))
          issue(['backends', i, 'prices', j], 'two prices are effective from the same instant');
        from.add(price.effectiveFrom);
        if (price.currency && price.currency !== 'USD' && !currencies.has(price.currency))
          issue(['backends', i, 'prices', j, 'currency'], `"${price.currency}" has no rate in exchangeRates`);
      });
    });
    const joins = new Set<string>();
    config.joins.forEach((join, i) => {
      const host = config.hosts.find((h) => h.id === join.host);
      if (!host) issue(['joins', i, 'host'], `"${join.host}" is not one of hosts`);
      else if (join.throughput && join.throughput.gpus > host.gpus)
        issue(['joins', i, 'throughput', 'gpus'], `the host "${host.id}" has ${host.gpus}`);
      const key = JSON.stringify([join.host, join.model]);
      if (joins.has(key)) issue(['joins', i, 'model'], `"${join.host}" has two entries for it`);
      joins.add(key);
      join.routes.forEach((id, j) => {
        if (!routes.has(id)) issue(['joins', i, 'routes', j], `"${id}" is not a route`);
      });
    });
    if (config.backends.length === 0 && config.joins.length === 0)
      issue(['backends'], 'needs at least one, or an entry of joins');
    config.routes.forEach((route, i) => {
      if (route.backends.length === 0 && !config.joins.some((j) => j.routes.includes(route.id)))
        issue(['routes', i, 'backends'], 'needs at least one, or an entry of joins that names the route');
    });
    checkBudgets(config, selectorNames(config), issue);
    checkTiers(config, orgs, backends, issue);
    checkObjectives(config, regionsOf(config.backends), issue);
    config.orgs.forEach((org, i) => {
      if (org.id === OPERATOR_ORG) issue(['orgs', i, 'id'], `"${OPERATOR_ORG}" stands for budgets that span orgs`);
      org.keys.forEach((key, j) => {
        if ((key.sha256 === undefined) === (key.secretEnv === undefined)) {
          issue(['orgs', i, 'keys', j], 'needs exactly one of sha256 and secretEnv');
        }
        if (key.department !== undefined && !org.departments.includes(key.department)) {
          issue(['orgs', i, 'keys', j, 'department'], `"${key.department}" is not one of the org's departments`);
        }
        key.routes?.forEach((id, k) => {
          if (!routes.has(id) && !backends.has(id))
            issue(['orgs', i, 'keys', j, 'routes', k], `"${id}" is neither a route nor a backend`);
        });
      });
      org.routes?.forEach((id, j) => {
        if (!routes.has(id) && !backends.has(id))
          issue(['orgs', i, 'routes', j], `"${id}" is neither a route nor a backend`);
      });
    });
  });
export type MeritorderConfig = z.infer<typeof MeritorderConfig>;
export type LimitsConfig = MeritorderConfig['limits'];
