import { BUCKETS, MeteringUsageRatedV1, PromptSentV1, subjects, type MeritorderConfig } from '@meritorder/contracts';
import {
  emptyLearned,
  forecastRequest,
  learnedOrgs,
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
import { decodeJson, openBucket, readBucket, type Bus } from '@meritorder/messaging';
import { meter } from '@meritorder/telemetry';
import { loadTokenizer, tokenizerOf } from '@meritorder/tokenizers';
import type { Subscription } from '@nats-io/transport-node';
import type { Estimator } from '../application/ports.js';

const SAVE_EVERY_MS = 60_000;
/** Keys of the bucket: an org's id behind a prefix, so that no org can be called as the pool is. */
const ORG_PREFIX = 'org.';
const POOL_KEY = 'pool';

/**
 * Estimates from memory: tokenizers of the configured models, and what rated usage taught. Every router hears of every attempt
 * and of every prompt that another sent, so all know the same, and a conversation may come to any of them; what they know is left in a bucket for one that starts.
 */
export class LearningEstimator implements Estimator {
  private readonly tokenizers = new Map<string, ExactTokenizer>();
  private readonly learned: Learned;
  private readonly changed = new Set<string>();
  private subscriptions: Subscription[] = [];
  private saving: NodeJS.Timeout | undefined;
  private readonly lessons = meter().createCounter('meritorder_estimate_lessons', {
    description: 'Attempts that taught the estimates something',
  });

  constructor(
    private readonly config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    const sharing = new Set(config.orgs.filter((org) => org.shareLearning).map((org) => org.id));
    this.learned = emptyLearned({
      tokenizerOf: (model) => this.tokenizers.get(tokenizerOf(model) ?? ''),
      sharesLearning: (org) => sharing.has(org),
    });
  }

  /** Loads the vocabularies that the configured models need and what was learned before, so that no request waits for either. */
  async start(): Promise<void> {
    await this.fleetChanged();
    await this.restore();
    this.subscriptions = [
      this.bus.nats.subscribe('metering.usage-rated.v1.*', { callback: (_error, message) => this.learn(message.data) }),
      this.bus.nats.subscribe('prompt.sent.v1.*', { callback: (_error, message) => this.heardSent(message.data) }),
    ];
    this.saving = setInterval(() => void this.save(), SAVE_EVERY_MS);
    this.saving.unref();
  }

  /** Loads the vocabularies that the backends there are now need; until one is there its tokens are estimated. */
  async fleetChanged(): Promise<void> {
    const names = new Set(this.config.backends.map((b) => tokenizerOf(b.model)).filter((name) => name !== undefined));
    for (const name of names) if (!this.tokenizers.has(name)) this.tokenizers.set(name, await loadTokenizer(name));
  }

  async close(): Promise<void> {
    clearInterval(this.saving);
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    await this.save();
  }

  estimate(request: Parameters<Estimator['estimate']>[0]): RequestForecast {
    const { body, embeddings, placeOf, route, attribution } = request;
    const { org, task } = attribution;
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

  private learn(data: Uint8Array): void {
    try {
      const event = decodeJson(MeteringUsageRatedV1, data);
      const observation = observationOf(event, { cut: event.outcome !== undefined && event.outcome !== 'finished' });
      if (!observation) return;
      learnFromUsage(this.learned, observation);
      this.changed.add(observation.org);
      if (this.learned.settings.sharesLearning(observation.org)) this.changed.add('');
      this.lessons.add(1);
    } catch (error) {
      this.onError(`rated usage taught nothing: ${(error as Error).message}`);
    }
  }

  private async restore(): Promise<void> {
    for (const [key, entry] of await readBucket(this.bus, BUCKETS.estimates.name)) {
      const org = key === POOL_KEY ? '' : key.slice(ORG_PREFIX.length);
      let snapshot: unknown;
      try {
        snapshot = entry.json();
      } catch {
        snapshot = undefined;
      }
      if (!restoreLearned(this.learned, org, snapshot))
        this.onError(`what was learned of ${key} cannot be read; it is learned anew`);
    }
  }

  private async save(): Promise<void> {
    const known = new Set(learnedOrgs(this.learned));
    const orgs = [...this.changed].filter((org) => known.has(org));
    this.changed.clear();
    try {
      const bucket = orgs.length > 0 ? await openBucket(this.bus, BUCKETS.estimates.name) : undefined;
      for (const org of orgs)
        await bucket!.put(org === '' ? POOL_KEY : ORG_PREFIX + org, JSON.stringify(snapshotOf(this.learned, org)));
    } catch (error) {
      for (const org of orgs) this.changed.add(org);
      this.onError(`what was learned could not be kept: ${(error as Error).message}`);
    }
  }
}
