import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { Kvm, type KV } from '@nats-io/kv';
import {
  BUCKETS,
  DURABLES,
  STREAMS,
  SUBSCRIBER_CONTEXTS,
  subscriberDurable,
  type BucketDeclaration,
  type MeritorderConfig,
  type StreamDeclaration,
} from '@meritorder/contracts';
import type { Bus } from './bus.js';

const SECOND_NS = 1_000_000_000;
const HOUR_MS = 3_600_000;

/** Makes the server agree with the declared streams, buckets and durable consumers. Idempotent; any process may run it. */
export async function ensureTopology(bus: Bus, config: Pick<MeritorderConfig, 'orgs'>, replicas = 1): Promise<void> {
  const manager = await bus.manager();
  for (const declaration of Object.values(STREAMS)) await ensureStream(manager, declaration, replicas);
  const kvm = new Kvm(bus.jetstream);
  for (const bucket of Object.values<BucketDeclaration>(BUCKETS))
    await kvm.create(bucket.name, { history: 1, replicas, ttl: (bucket.maxAgeHours ?? 0) * HOUR_MS });
  await ensureConsumer(manager, STREAMS.usage.name, {
    durable_name: DURABLES.metering,
    // Short: a rebuild of the counters waits for what a metering that was killed had in hand.
    ack_wait: 5 * SECOND_NS,
    max_ack_pending: 10_000,
  });
  await ensureConsumer(manager, STREAMS.hardware.name, {
    durable_name: DURABLES.metering,
    ack_wait: 30 * SECOND_NS,
    max_ack_pending: 1_000,
  });
  await ensureConsumer(manager, STREAMS.events.name, {
    durable_name: DURABLES.metering,
    filter_subject: 'routing.decision-made.v1.*',
    ack_wait: 30 * SECOND_NS,
    max_ack_pending: 1_000,
  });
  await ensureConsumer(manager, STREAMS.jobs.name, {
    durable_name: DURABLES.routerJobs,
    ack_wait: 30 * SECOND_NS,
    max_ack_pending: 10_000,
  });
  await ensureConsumer(manager, STREAMS.batches.name, {
    durable_name: DURABLES.workerBatches,
    // Short: what a worker that was killed had in hand waits for it.
    ack_wait: 10 * SECOND_NS,
    // A batch that has not ended is one of them all day.
    max_ack_pending: 10_000,
  });
  await ensureConsumer(manager, STREAMS.events.name, {
    durable_name: DURABLES.budgetPolicy,
    filter_subject: 'metering.usage-rated.v1.*',
    ack_wait: 30 * SECOND_NS,
    max_ack_pending: 10_000,
  });
  await ensureConsumer(manager, STREAMS.events.name, {
    durable_name: DURABLES.pacing,
    // Decisions and rated usage in the order of the stream: a consumer of 2.9 has one filter. What else it matches is passed over.
    filter_subject: '*.*.v1.*',
    // Short: whoever takes over waits for what the one before had in hand.
    ack_wait: 5 * SECOND_NS,
    max_ack_pending: 20_000,
  });
  for (const org of config.orgs) {
    for (const subscriber of org.subscribers) {
      await ensureConsumer(manager, STREAMS.events.name, {
        durable_name: subscriberDurable(org.id, subscriber.name),
        filter_subject: SUBSCRIBER_CONTEXTS[subscriber.context](org.id),
        ack_wait: 30 * SECOND_NS,
        max_ack_pending: 1_000,
      });
    }
  }
}

async function ensureStream(
  manager: JetStreamManager,
  declaration: StreamDeclaration,
  replicas: number,
): Promise<void> {
  const config: Partial<StreamConfig> & { name: string } = {
    name: declaration.name,
    subjects: [...declaration.subjects],
    description: declaration.purpose,
    retention: declaration.retention === 'workqueue' ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    storage: StorageType.File,
    max_bytes: -1,
    max_age: declaration.maxAgeHours * 3600 * SECOND_NS,
    // A full stream refuses what is new instead of forgetting what is old: nothing is dropped in silence.
    discard: DiscardPolicy.New,
    duplicate_window: declaration.duplicateWindowSeconds * SECOND_NS,
    num_replicas: replicas,
  };
  try {
    await manager.streams.info(declaration.name);
    await manager.streams.update(declaration.name, config);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.status !== 404) throw error;
    await manager.streams.add(config);
  }
}

async function ensureConsumer(
  manager: JetStreamManager,
  stream: string,
  config: { durable_name: string; filter_subject?: string; ack_wait: number; max_ack_pending: number },
): Promise<void> {
  await manager.consumers.add(stream, {
    ...config,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    max_deliver: -1,
  });
}

/** Puts a value only when it differs from what is there, so that watchers see changes alone. */
export async function putIfChanged(kv: KV, key: string, value: string): Promise<boolean> {
  const current = await kv.get(key);
  if (current?.operation === 'PUT' && current.string() === value) return false;
  await kv.put(key, value);
  return true;
}

export async function openBucket(bus: Bus, bucket: string): Promise<KV> {
  return new Kvm(bus.jetstream).open(bucket);
}
