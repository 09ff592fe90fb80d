import { BUCKETS, MeteringUsageRatedV1, PromptSentV1, subjects, type MeritorderConfig } from '@meritorder/contracts';
import {
  emptyLearned,
  forecastRequest,
  forgetOrg,
  hasRoom,
  learnFromUsage,
  observationOf,
  rememberSent,
  restoreLearned,
  snapshotOf,
  type ExactTokenizer,
  type Learned,
  type RequestForecast,
} from '@meritorder/estimate-core';
import type { Clock } from '@meritorder/kernel';
import { decodeJson, type Bus } from '@meritorder/messaging';
import { meter } from '@meritorder/telemetry';
import { loadTokenizer, tokenizerOf } from '@meritorder/tokenizers';
import type { Subscription } from '@nats-io/transport-node';
import type { Source } from '../application/learned-orgs.js';
import type { Estimator } from '../application/ports.js';
import type { EventsFeed } from './events-feed.nats.js';
import { LearnedBucket } from './learned-bucket.nats.js';

/**
 * Estimates from memory: tokenizers of the configured models, and what rated usage taught. Every router hears of every attempt
 * and of every prompt that another sent, so all know the same, and a conversation may come to any of them; what they know
 * is left in a bucket, from which comes again what there was no room for.
 */
export class LearningEstimator implements Estimator {
  private readonly tokenizers = new Map<string, ExactTokenizer>();
  private readonly learned: Learned;
  readonly kept: LearnedBucket;
  private subscriptions: Subscription[] = [];
  private readonly lessons = meter().createCounter('meritorder_estimate_lessons', {
    description: 'Attempts that taught the estimates something',
  });

  constructor(
    private readonly config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly bus: Bus,
    feed: EventsFeed,
    private readonly clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    const sharing = new Set(config.orgs.filter((org) => org.shareLearning).map((org) => org.id));
    this.learned = emptyLearned({
      tokenizerOf: (model) => this.tokenizers.get(tokenizerOf(model) ?? ''),
      sharesLearning: (org) => sharing.has(org),
    });
    this.kept = new LearnedBucket(
      bus,
      feed,
      { bucket: BUCKETS.estimates.name, prefix: 'org.', poolKey: 'pool' },
      {
        snapshotOf: (org) => snapshotOf(this.learned, org),
        restore: (org, snapshot) => restoreLearned(this.learned, org, snapshot),
        forget: (org) => forgetOrg(this.learned, org),
        // Before anything of an org is pushed out: only whole orgs give way.
        isFull: () => !hasRoom(this.learned),
      },
      onError,
    );
  }

  /** Loads the vocabularies that the configured models need and what was learned before, so that no request waits for either. */
  async start(): Promise<void> {
    await this.fleetChanged();
    await this.kept.start();
    this.kept.on('metering.usage-rated.v1', (data, source) => this.learn(data, source));
    this.subscriptions = [
      this.bus.nats.subscribe('prompt.sent.v1.*', { callback: (_error, message) => this.heardSent(message.data) }),
    ];
  }

  /** Loads the vocabularies that the backends there are now need; until one is there its tokens are estimated. */
  async fleetChanged(): Promise<void> {
    const names = new Set(this.config.backends.map((b) => tokenizerOf(b.model)).filter((name) => name !== undefined));
    for (const name of names) if (!this.tokenizers.has(name)) this.tokenizers.set(name, await loadTokenizer(name));
  }

  async close(): Promise<void> {
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    await this.kept.close();
  }

  estimate(request: Parameters<Estimator['estimate']>[0]): RequestForecast {
    const { body, embeddings, placeOf, route, attribution } = request;
    const { org, task } = attribution;
    this.kept.use(org);
    const forecast = forecastRequest(this.learned, { body, embeddings, placeOf, org, route, task }, this.clock.nowMs());
    return {
      of: forecast.of,
      expectation: forecast.expectation,
      sentTo: (backend, nowMs) => {
        const sent = forecast.sentTo(backend, nowMs);
        // Others are told once the request is on its way.
        if (sent.length > 0) setImmediate(() => this.tell({ org, backend: backend.id, sent: [...sent] }));
        return sent;
      },
    };
  }

  private tell(sent: PromptSentV1): void {
    try {
      this.bus.nats.publish(subjects.promptSent(sent.backend), JSON.stringify(sent));
    } catch (error) {
      this.onError(`others were not told of a prompt: ${(error as Error).message}`);
    }
  }

  /** Of this router's own it is known already, and the same. */
  private heardSent(data: Uint8Array): void {
    try {
      const { org, backend, sent } = decodeJson(PromptSentV1, data);
      rememberSent(this.learned, org, backend, sent);
    } catch (error) {
      this.onError(`a prompt that another router sent was ignored: ${(error as Error).message}`);
    }
  }

  private learn(data: Uint8Array, source: Source): void {
    try {
      const event = decodeJson(MeteringUsageRatedV1, data);
      const observation = observationOf(event, { cut: event.outcome !== undefined && event.outcome !== 'finished' });
      if (!observation) return;
      this.kept.teach(
        observation.org,
        () => {
          learnFromUsage(this.learned, observation);
          if (this.learned.settings.sharesLearning(observation.org)) this.kept.markPool();
          this.lessons.add(1);
          return true;
        },
        source,
      );
    } catch (error) {
      this.onError(`rated usage taught nothing: ${(error as Error).message}`);
    }
  }
}
