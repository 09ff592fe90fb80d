/**
 * Streams and buckets as data; `libs/messaging` makes the server agree with them. NATS 2.9 features only. Streams are bounded by
 * age; by size the server bounds them all together (`max_file_store`, 75 % of the disk by default), and then refuses what is new
 * instead of forgetting what is old.
 */
export interface StreamDeclaration {
  name: string;
  subjects: string[];
  retention: 'limits' | 'workqueue';
  maxAgeHours: number;
  /** How long a `Nats-Msg-Id` is remembered. */
  duplicateWindowSeconds: number;
  purpose: string;
}

export const STREAMS = {
  usage: {
    name: 'USAGE',
    subjects: [
      'usage.attempt-opened.v1.*',
      'usage.attempt-extended.v1.*',
      'usage.attempt-closed.v1.*',
      'usage.attempt-closed.v1.*.*',
    ],
    retention: 'limits',
    maxAgeHours: 48,
    duplicateWindowSeconds: 600,
    purpose:
      'Every attempt that can cost money, before its first byte goes upstream, before more is used than was held, and after its last byte came back.',
  },
  jobs: {
    name: 'JOBS',
    subjects: ['job.accepted.v1.*.*'],
    retention: 'workqueue',
    maxAgeHours: 24 * 7,
    duplicateWindowSeconds: 600,
    purpose: 'Durable jobs that a router accepted and nobody has finished.',
  },
  batches: {
    name: 'BATCHES',
    subjects: ['batch.collected.v1.*'],
    retention: 'workqueue',
    maxAgeHours: 24 * 7,
    duplicateWindowSeconds: 600,
    purpose: 'Batches of jobs, from before they are sent to a provider until each of their jobs has gone on.',
  },
  events: {
    name: 'EVENTS',
    subjects: [
      'budget.*.v1.*.*',
      'policy.*.v1.*.*',
      'metering.usage-rated.v1.*',
      'routing.decision-made.v1.*',
      'inference.result.v1.*.*',
      'outcome.recorded.v1.*',
      'quality.model-shifted.v1.*',
      'price.version-published.v1',
      'price.version-held.v1',
    ],
    retention: 'limits',
    maxAgeHours: 24 * 7,
    duplicateWindowSeconds: 600,
    purpose: 'What other programs subscribe to.',
  },
  hardware: {
    name: 'HARDWARE',
    subjects: ['hardware.measured.v1.*'],
    retention: 'limits',
    maxAgeHours: 48,
    duplicateWindowSeconds: 600,
    purpose: 'What the meters of GPU hosts said of their energy, until it is in the books.',
  },
  deadLetter: {
    name: 'DEAD_LETTER',
    subjects: ['dead-letter.v1.*'],
    retention: 'limits',
    maxAgeHours: 24 * 30,
    duplicateWindowSeconds: 600,
    purpose: 'Messages that could not be processed, with the reason, as they were received.',
  },
} as const satisfies Record<string, StreamDeclaration>;

export interface BucketDeclaration {
  name: string;
  purpose: string;
  writer: string;
  /** Without it values are kept for ever. */
  maxAgeHours?: number;
}

export const BUCKETS = {
  prices: { name: 'PRICES', purpose: 'Price versions that reservations may use, by backend.', writer: 'metering' },
  estimates: {
    name: 'ESTIMATES',
    purpose: 'What routers have learned of tokens, for one that starts.',
    writer: 'router',
  },
  learning: {
    name: 'LEARNING',
    purpose: 'What routers have learned of quality and conversions, for one that starts.',
    writer: 'router',
  },
  policy: {
    name: 'POLICY',
    purpose: 'Shadow price and projected stage of each paced budget.',
    writer: 'budget-policy',
  },
  budgets: { name: 'BUDGETS', purpose: 'Budget definition in force by id.', writer: 'budget-policy' },
  fleet: { name: 'FLEET', purpose: 'What workers of hosts found, by the id of its backend.', writer: 'metering' },
  epoch: {
    name: 'EPOCH',
    purpose: 'The newest epoch of the counters, under `newest`: no older one admits anything, whatever Redis says.',
    writer: 'budget-policy',
  },
  keys: {
    name: 'KEYS',
    purpose: 'Keys that were made while everything runs, without their secrets, under the hex SHA-256 of each secret.',
    writer: 'gateway',
  },
  batches: {
    name: 'BATCHES',
    purpose: 'How far each batch is: which attempts go, whether it was sent, and what the provider calls it.',
    writer: 'provider-worker',
    maxAgeHours: 24 * 7,
  },
  cancels: {
    name: 'CANCELS',
    purpose:
      'Jobs that were cancelled while they were in the stream JOBS, under `<org>.<request>`, as long as one may be there.',
    writer: 'router',
    maxAgeHours: STREAMS.jobs.maxAgeHours,
  },
  jobs: {
    name: 'JOBS',
    purpose:
      'Jobs whose id their caller named, under `<org>.<request>`, from before they are kept until their results are forgotten.',
    writer: 'router',
    maxAgeHours: STREAMS.events.maxAgeHours,
  },
  idempotency: {
    name: 'IDEMPOTENCY',
    purpose: 'The first request of each idempotency key of an org, under `<org>.<hash of the key>`.',
    writer: 'router',
    maxAgeHours: 24,
  },
} as const satisfies Record<string, BucketDeclaration>;

/** Durable consumers of the services. */
export const DURABLES = {
  metering: 'metering',
  routerJobs: 'router',
  workerBatches: 'provider-worker',
  budgetPolicy: 'budget-policy',
  pacing: 'pacing',
} as const;

/** An org's subscriber is a durable consumer on EVENTS; slugs have no "_", so two orgs never share a name. */
export function subscriberDurable(org: string, subscriber: string): string {
  return `${org}_${subscriber}`;
}
export const SUBSCRIBER_CONTEXTS = {
  budget: (org: string) => `budget.*.v1.${org}.*`,
  policy: (org: string) => `policy.*.v1.${org}.*`,
  inference: (org: string) => `inference.result.v1.${org}.*`,
  metering: (org: string) => `metering.usage-rated.v1.${org}`,
  outcome: (org: string) => `outcome.recorded.v1.${org}`,
  quality: (org: string) => `quality.model-shifted.v1.${org}`,
  routing: (org: string) => `routing.decision-made.v1.${org}`,
} as const;
export type SubscriberContext = keyof typeof SUBSCRIBER_CONTEXTS;
