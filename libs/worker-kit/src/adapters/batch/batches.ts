import { DURABLES, STREAMS, type BackendConfig, type Protocol } from '@meritorder/contracts';
import type { Subscription } from '@nats-io/transport-node';
import { systemClock } from '@meritorder/kernel';
import { runConsumer, type Bus, type Delivery, type RunningConsumer } from '@meritorder/messaging';
import type { BatchApi } from '../../application/batch/batch-ports.js';
import { cancelLine } from '../../application/batch/cancel-line.js';
import { BatchCollector, type Collected } from '../../application/batch/collect-batches.js';
import { runBatch, type BatchPorts } from '../../application/batch/run-batch.js';
import type { CredentialPools } from '../../application/credentialed-upstream.js';
import type { Credential } from '../../application/ports.js';
import type { ProviderWires } from '../../application/upstream-for.js';
import { NatsUsageLog } from '../nats-links.js';
import { AnthropicBatches } from './anthropic-batches.js';
import { NatsBatchStore } from './batch-store.nats.js';
import { BedrockBatches } from './bedrock-batches.js';
import { GeminiBatches } from './gemini-batches.js';
import { MistralBatches } from './mistral-batches.js';
import { OpenAiBatches } from './openai-batches.js';

/** Batches that one worker looks after at once. */
const MOST_AT_ONCE = 8;
const CANCELS_QUEUE = 'batches';
/** Beside an answer, a job that goes on holds what was asked, and headers. */
const LEAST_BYTES_LEFT = 65_536;

const OPENAI = new OpenAiBatches();
const APIS: Readonly<Partial<Record<Protocol, BatchApi>>> = {
  openai: OPENAI,
  azure: OPENAI,
  anthropic: new AnthropicBatches(),
  gemini: new GeminiBatches(),
  bedrock: new BedrockBatches(),
};
/** Of providers that speak OpenAI's protocol and have a batch API of their own. */
const OWN_APIS: ReadonlyMap<string, BatchApi> = new Map([['mistral', new MistralBatches()]]);

export interface BatchOptions {
  bus: Bus;
  backends: readonly BackendConfig[];
  wires: ProviderWires;
  pools: CredentialPools;
  credentialsOf(backend: BackendConfig): readonly Credential[];
  worker: string;
  maxMessageBytes: number;
  warn(message: string): void;
}

/**
 * The batches of a worker: those that it collects, and of those that any worker made, the ones that the stream gives it. A batch is
 * one message, delivered again until it is over, so that there is always one worker that goes on with it.
 */
export class Batches {
  private readonly collector: BatchCollector;
  private readonly consumer: RunningConsumer;
  private readonly cancels: Subscription;

  constructor(private readonly options: BatchOptions) {
    const { bus, wires, worker, warn } = options;
    const store = new NatsBatchStore(bus, (error) => warn(`batches: ${error.message}`));
    this.collector = new BatchCollector({
      clock: systemClock,
      wires,
      store,
      worker,
      warn,
      every: (ms, run) => {
        const timer = setInterval(run, ms);
        return () => clearInterval(timer);
      },
    });
    this.consumer = runConsumer(bus, {
      stream: STREAMS.batches.name,
      durable: DURABLES.workerBatches,
      maxBatch: 1,
      concurrency: MOST_AT_ONCE,
      handle: ([delivery]) => this.run(delivery!, store),
      onError: (error) => warn(`batches: ${(error as Error).message}`),
    });
    // A batch that is kept is in the hands of no worker: one of them writes down what is cancelled of it.
    this.cancels = bus.nats.subscribe('inference.cancel.v1.*.*', {
      queue: CANCELS_QUEUE,
      callback: (_error, message) => {
        const [, , , org, requestId] = message.subject.split('.');
        cancelLine(store, org!, requestId!).catch((error: Error) =>
          warn(`the cancel of ${requestId} was not written down: ${error.message}`),
        );
      },
    });
  }

  /** Of a job that waits here for others. */
  cancel(org: string, requestId: string): void {
    this.collector.cancel(org, requestId);
  }

  take(backend: BackendConfig, collected: Collected): Promise<void> {
    return this.collector.take(backend, collected);
  }

  /** Those that are collected are made; whoever comes next sends them. */
  async drain(): Promise<void> {
    this.cancels.unsubscribe();
    await this.collector.drain();
    await this.consumer.drain();
  }

  private async run(delivery: Delivery, store: NatsBatchStore): Promise<void> {
    const { data: batch } = delivery.decode(['batch.collected.v1']);
    const { bus, backends, wires, pools, credentialsOf, maxMessageBytes, warn } = this.options;
    const usageLog = new NatsUsageLog(bus, delivery.context, (error) => warn(`batch ${batch.batch}: ${error.message}`));
    const longest = Math.max(...batch.lines.map(({ job }) => Buffer.byteLength(JSON.stringify(job))));
    const ports: BatchPorts = {
      clock: systemClock,
      store,
      wires,
      api: ({ protocol, provider }) => (protocol === 'openai' ? OWN_APIS.get(provider) : undefined) ?? APIS[protocol]!,
      credentials: credentialsOf,
      takeCredential: (backend) => pools.of(backend).take(),
      giveBack: (backend, credential, failure) =>
        pools
          .of(backend)
          .giveBack(
            credential,
            failure && { code: failure.code, retryAfterSeconds: failure.details.retryAfterSeconds },
          ),
      closed: (event) => usageLog.closed(event),
      maxAnswerBytes: maxMessageBytes - longest - LEAST_BYTES_LEFT,
      warn,
    };
    const step = await runBatch(
      batch,
      backends.find((b) => b.id === batch.backend),
      ports,
    );
    if (!step.over) delivery.retry(Math.ceil(step.againMs));
  }
}
