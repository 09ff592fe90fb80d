import {
  BUCKETS,
  DEFAULT_QUOTAS,
  DURABLES,
  orgInboxPrefix,
  STREAMS,
  subjects,
  subscriberDurable,
  type MeritorderConfig,
} from '@meritorder/contracts';

/**
 * Who may do what on NATS: one user per service and one per org, each with the subjects it needs and no other.
 *
 * Org users get no JetStream subject at all, neither an API nor a subject that a stream captures: the server answers those
 * to whatever reply subject the publisher names, unchecked, so they would let an org write to any subject (ADR 4).
 */
export interface NatsUser {
  user: string;
  publish: string[];
  subscribe: string[];
  /** Undefined: a service. An org has a NATS account of its own (ADR 17). */
  org?: { limits: OrgConnectionLimits };
}

/** What nats-server enforces of an org's quotas. */
export interface OrgConnectionLimits {
  /** Of the org at once. */
  connections: number;
  subscriptionsPerConnection: number;
  /** Undefined: as the server's `max_payload`. */
  bodyBytes?: number | undefined;
}

/** First inbox token of each service; see {@link orgInboxPrefix} for orgs. */
export const SERVICE_INBOX = {
  gateway: '_INBOX_gateway',
  router: '_INBOX_router',
  'provider-worker': '_INBOX_provider-worker',
  metering: '_INBOX_metering',
  'budget-policy': '_INBOX_budget-policy',
  operator: '_INBOX_operator',
} as const;
export type ServiceUser = keyof typeof SERVICE_INBOX;

/** The NATS user of the worker on a GPU host: each host has its own. */
export function hostUser(host: string): string {
  return `local-worker-${host}`;
}

/** First inbox token of a host's worker; no org's, whose name has no underscore. */
export function hostInboxPrefix(host: string): string {
  return `_INBOX_local-worker_${host}`;
}

type Hosted = Pick<MeritorderConfig, 'orgs' | 'backends'> & Partial<Pick<MeritorderConfig, 'joins'>>;

/** Every host that a local backend names or whose worker may join. */
export function hostsOf({ backends, joins = [] }: Pick<Hosted, 'backends' | 'joins'>): string[] {
  const named = backends.flatMap((b) => (b.kind === 'local' && b.host ? [b.host] : []));
  return [...new Set([...named, ...joins.map((j) => j.host)])];
}

/** All users of a deployment, in a stable order. */
export function natsUsers(config: Hosted): NatsUser[] {
  return [
    gateway(config),
    router(config),
    providerWorker(config),
    ...hostsOf(config).map((host) => localWorker(config, host)),
    metering(config),
    budgetPolicy(config),
    { user: 'operator', publish: ['>'], subscribe: ['>'] },
    ...config.orgs.map((org): NatsUser => ({
      user: orgUser(org.id),
      org: { limits: org.quotas ?? DEFAULT_QUOTAS },
      publish: [
        `inference.request.v1.${org.id}`,
        `inference.job.v1.${org.id}`,
        `inference.cancel.v1.${org.id}.*`,
        `inference.estimate.v1.${org.id}`,
        `outcome.reported.v1.${org.id}`,
        `inference.ack.v1.${org.id}.*`,
        `deliver-ack.v1.${org.id}.>`,
      ],
      subscribe: [
        `${orgInboxPrefix(org.id)}.>`,
        `deliver.v1.${org.id}.*`,
        `budget.*.v1.${org.id}.*`,
        `policy.*.v1.${org.id}.*`,
        `inference.result.v1.${org.id}.*`,
        `metering.usage-rated.v1.${org.id}`,
        `routing.decision-made.v1.${org.id}`,
        `outcome.recorded.v1.${org.id}`,
        `quality.model-shifted.v1.${org.id}`,
        'price.version-published.v1',
      ],
    })),
  ];
}

/** The NATS user name of an org; service names cannot collide with it. */
export function orgUser(org: string): string {
  return `org-${org}`;
}

function orgInboxes(config: Pick<MeritorderConfig, 'orgs'>): string[] {
  return config.orgs.map((org) => `${orgInboxPrefix(org.id)}.>`);
}

/** Reading and acknowledging one durable consumer. */
function consuming(stream: string, durable: string): string[] {
  return [
    `$JS.API.CONSUMER.INFO.${stream}.${durable}`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`,
    `$JS.ACK.${stream}.${durable}.>`,
  ];
}

/** Reading a stream from a place on (an ordered consumer of it). */
function following(stream: string): string[] {
  return [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.DELETE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.>`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.FC.${stream}.>`,
    `$JS.ACK.${stream}.>`,
  ];
}

/** Opening and watching a bucket. */
function watching(bucket: string): string[] {
  return [...following(`KV_${bucket}`), `$JS.API.DIRECT.GET.KV_${bucket}.>`];
}

/** Whoever accepts keys. */
const FOLLOWING_KEYS = watching(BUCKETS.keys.name);

/** Whoever issues keys (the gateway): beside what it needs otherwise. */
export const ISSUING_KEYS = {
  publish: [`$KV.${BUCKETS.keys.name}.>`, ...FOLLOWING_KEYS, `${SERVICE_INBOX.operator}.>`],
  subscribe: [subjects.accessKeys()],
} as const;

/** The token after an org's inbox prefix under which gateways hear answers for it. */
export const GATEWAY_INBOX_TOKEN = 'gateway';

/** What every org may publish on the public surface of inference, for all of them; it hears its own replies alone. It issues keys. */
function gateway(config: Pick<MeritorderConfig, 'orgs'>): NatsUser {
  return {
    user: 'gateway',
    publish: [
      'inference.request.v1.*',
      'inference.estimate.v1.*',
      'inference.cancel.v1.*.*',
      'inference.ack.v1.*.*',
      ...ISSUING_KEYS.publish,
    ],
    subscribe: [
      `${SERVICE_INBOX.gateway}.>`,
      ...ISSUING_KEYS.subscribe,
      ...config.orgs.map((org) => `${orgInboxPrefix(org.id)}.${GATEWAY_INBOX_TOKEN}.>`),
    ],
  };
}

function router(config: Hosted): NatsUser {
  return {
    user: 'router',
    publish: [
      'work.v1.*',
      'work.v1.*.*',
      'attempt.go.v1.*.*',
      'attempt.go.v1.*.*.*',
      'attempt.stop.v1.*',
      'prompt.sent.v1.*',
      'job.accepted.v1.*.*',
      'usage.attempt-opened.v1.*',
      'usage.attempt-extended.v1.*',
      'usage.attempt-closed.v1.*',
      'routing.decision-made.v1.*',
      'quality.model-shifted.v1.*',
      'inference.result.v1.*.*',
      'dead-letter.v1.*',
      `${SERVICE_INBOX.router}.>`,
      `${SERVICE_INBOX.operator}.>`,
      ...orgInboxes(config),
      `${SERVICE_INBOX['provider-worker']}.>`,
      ...hostsOf(config).map((host) => `${hostInboxPrefix(host)}.>`),
      ...consuming(STREAMS.jobs.name, DURABLES.routerJobs),
      ...following(STREAMS.events.name),
      `$JS.API.STREAM.MSG.GET.${STREAMS.jobs.name}`,
      `$KV.${BUCKETS.cancels.name}.>`,
      ...watching(BUCKETS.cancels.name),
      ...watching(BUCKETS.prices.name),
      ...watching(BUCKETS.budgets.name),
      `$KV.${BUCKETS.estimates.name}.>`,
      ...watching(BUCKETS.estimates.name),
      `$KV.${BUCKETS.learning.name}.>`,
      ...watching(BUCKETS.learning.name),
      ...watching(BUCKETS.policy.name),
      `$KV.${BUCKETS.idempotency.name}.>`,
      ...watching(BUCKETS.idempotency.name),
      `$KV.${BUCKETS.jobs.name}.>`,
      ...watching(BUCKETS.jobs.name),
      ...watching(BUCKETS.epoch.name),
      ...FOLLOWING_KEYS,
      ...watching(BUCKETS.fleet.name),
    ],
    subscribe: [
      `${SERVICE_INBOX.router}.>`,
      'usage.attempt-closed.v1.>',
      'inference.estimate.v1.*',
      'inference.request.v1.*',
      'inference.job.v1.*',
      'inference.cancel.v1.*.*',
      'worker.heartbeat.v1.>',
      'router.fleet.v1',
      'prompt.sent.v1.*',
    ],
  };
}

/** What every worker may do, beside the work, the heartbeats and the attempts of its own backends. */
function worker(config: Hosted, user: string, inbox: string): NatsUser {
  return {
    user,
    publish: [
      `${SERVICE_INBOX.router}.>`,
      // A hedge asks the worker of the other attempt for the turn, which may be of either name.
      'attempt.turn.v1.*',
      'attempt.turned.v1.*',
      ...orgInboxes(config),
    ],
    subscribe: [
      `${inbox}.>`,
      'inference.ack.v1.*.*',
      'inference.cancel.v1.*.*',
      'attempt.stop.v1.*',
      'attempt.turn.v1.*',
      'attempt.turned.v1.*',
    ],
  };
}

const BATCHING = [
  'job.accepted.v1.*.*',
  'dead-letter.v1.*',
  `$KV.${BUCKETS.batches.name}.>`,
  ...watching(BUCKETS.batches.name),
  ...consuming(STREAMS.batches.name, DURABLES.workerBatches),
];

function providerWorker(config: Hosted): NatsUser {
  const base = worker(config, 'provider-worker', SERVICE_INBOX['provider-worker']);
  const backends = config.backends.filter((b) => b.kind === 'cloud').map((b) => b.id);
  return {
    ...base,
    publish: [
      ...base.publish,
      'usage.attempt-closed.v1.*',
      ...backends.map((b) => `worker.heartbeat.v1.${b}`),
      ...config.backends.flatMap((b) => (b.batch ? [subjects.batchCollected(b.id)] : [])),
      // Jobs that were in a batch go on by these.
      ...(config.backends.some((b) => b.batch) ? BATCHING : []),
    ],
    subscribe: [...base.subscribe, ...backends.flatMap((b) => [`work.v1.${b}`, subjects.attemptGoes({ id: b })])],
  };
}

/** Work, heartbeats and attempts of its own host's backends, and what its own meters say. */
function localWorker(config: Hosted, host: string): NatsUser {
  const base = worker(config, hostUser(host), hostInboxPrefix(host));
  return {
    ...base,
    publish: [
      ...base.publish,
      `usage.attempt-closed.v1.*.${host}`,
      `worker.heartbeat.v1.${host}.*`,
      `hardware.measured.v1.${host}`,
      `fleet.join.v1.${host}`,
    ],
    subscribe: [...base.subscribe, `work.v1.${host}.*`, `attempt.go.v1.${host}.*.*`],
  };
}

function metering(config: Hosted): NatsUser {
  return {
    user: 'metering',
    publish: [
      'metering.usage-rated.v1.*',
      'price.version-published.v1',
      'price.version-held.v1',
      'outcome.recorded.v1.*',
      'dead-letter.v1.*',
      `${SERVICE_INBOX.operator}.>`,
      ...orgInboxes(config),
      ...hostsOf(config).map((host) => `${hostInboxPrefix(host)}.>`),
      `$KV.${BUCKETS.fleet.name}.>`,
      ...watching(BUCKETS.fleet.name),
      `$KV.${BUCKETS.prices.name}.>`,
      ...watching(BUCKETS.prices.name),
      ...watching(BUCKETS.epoch.name),
      ...consuming(STREAMS.usage.name, DURABLES.metering),
      ...consuming(STREAMS.hardware.name, DURABLES.metering),
      ...consuming(STREAMS.events.name, DURABLES.metering),
    ],
    subscribe: [
      `${SERVICE_INBOX.metering}.>`,
      'metering.reconcile.v1',
      'metering.prices.v1',
      'metering.hardware.v1',
      'fleet.join.v1.*',
      'metering.decisions.v1',
      'metering.decision-export.v1',
      'metering.margin.v1',
      'outcome.reported.v1.*',
    ],
  };
}

function budgetPolicy(config: Pick<MeritorderConfig, 'orgs'>): NatsUser {
  return {
    user: 'budget-policy',
    publish: [
      'budget.>',
      'policy.>',
      'dead-letter.v1.*',
      'deliver.v1.*.*',
      `${SERVICE_INBOX.operator}.>`,
      `$KV.${BUCKETS.budgets.name}.>`,
      ...watching(BUCKETS.budgets.name),
      `$KV.${BUCKETS.policy.name}.>`,
      ...watching(BUCKETS.policy.name),
      `$KV.${BUCKETS.epoch.name}.>`,
      ...watching(BUCKETS.epoch.name),
      ...consuming(STREAMS.events.name, DURABLES.budgetPolicy),
      ...consuming(STREAMS.events.name, DURABLES.pacing),
      ...config.orgs.flatMap((org) =>
        org.subscribers.flatMap((s) => consuming(STREAMS.events.name, subscriberDurable(org.id, s.name))),
      ),
      `$JS.API.STREAM.INFO.${STREAMS.usage.name}`,
      `$JS.API.STREAM.MSG.GET.${STREAMS.events.name}`,
      `$JS.API.CONSUMER.INFO.${STREAMS.usage.name}.${DURABLES.metering}`,
    ],
    subscribe: [
      `${SERVICE_INBOX['budget-policy']}.>`,
      'deliver-ack.v1.>',
      'budget-policy.budgets.v1',
      'budget-policy.pacing.v1',
    ],
  };
}
