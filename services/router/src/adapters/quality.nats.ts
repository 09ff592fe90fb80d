import { OutcomeRecordedV1, type BackendConfig, type ChatRequest, type MeritorderConfig } from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import { decodeJson, type Bus } from '@meritorder/messaging';
import {
  emptyOrgQuality,
  featuresOfText,
  featuresText,
  learnOutcome,
  NO_PROMPT,
  predictQuality,
  readPrompt,
  restoreQuality,
  snapshotQuality,
  tagsOf,
  UNKNOWN_PRIOR,
  type OrgQuality,
  type QualityPrior,
} from '@meritorder/quality-core';
import { meter } from '@meritorder/telemetry';
import type { Subscription } from '@nats-io/transport-node';
import type { Qualities, QualityReading } from '../application/ports.js';
import { LearnedBucket, Remembered } from './learned-bucket.nats.js';

/** Of the pool among the orgs that are kept: no slug is empty. */
const POOL = '';
/** Orgs whose lessons are in memory; the one that was least recently learned of gives way, and is read again when it is asked for. */
const MOST_ORGS = 2_000;
/** Of a prompt this much is joined; the reader looks at 192 characters of either end. */
const READ_CHARACTERS = 4_096;

/**
 * What answers turned out to be worth, from recorded outcomes. Every router hears of every outcome, so all learn the same; what
 * they know is left in a bucket for one that starts. Replicas of one model share what is known of it.
 */
export class LearningQualities implements Qualities {
  private readonly orgs = new Map<string, OrgQuality>();
  private pool: OrgQuality;
  private readonly backends: ReadonlyMap<string, BackendConfig>;
  private readonly sharing: ReadonlySet<string>;
  private readonly remembered = new Remembered();
  private readonly kept: LearnedBucket;
  private subscription: Subscription | undefined;
  private readonly lessons = meter().createCounter('meritorder_quality_lessons', {
    description: 'Outcomes that taught what answers are worth',
  });
  private readonly shifts = meter().createCounter('meritorder_quality_shifts', {
    description: 'Models that answer otherwise than they did',
  });

  constructor(
    config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly onError: (message: string) => void,
  ) {
    this.backends = new Map(config.backends.map((b) => [b.id, b]));
    this.sharing = new Set(config.orgs.filter((org) => org.shareLearning).map((org) => org.id));
    this.pool = emptyOrgQuality(clock.nowMs());
    this.kept = new LearnedBucket(
      bus,
      'quality.',
      (org) => {
        const state = org === POOL ? this.pool : this.orgs.get(org);
        return state && snapshotQuality(state);
      },
      onError,
    );
  }

  async start(): Promise<void> {
    await this.kept.start((org, snapshot) => {
      const state = restoreQuality(snapshot);
      if (state && org === POOL) this.pool = state;
      else if (state) this.orgs.set(org, state);
      return state !== undefined;
    });
    this.subscription = this.bus.nats.subscribe('outcome.recorded.v1.*', {
      callback: (_error, message) => this.heard(message.data),
    });
  }

  async close(): Promise<void> {
    this.subscription?.unsubscribe();
    await this.kept.close();
  }

  read({ body, attribution, inputTokens }: Parameters<Qualities['read']>[0]): QualityReading {
    const { org } = attribution;
    const prompt = readPrompt(lastText(body));
    const tags = tagsOf({
      ...attribution,
      tools: (body.tools?.length ?? 0) > 0,
      json: body.response_format !== undefined && body.response_format !== null && body.response_format.type !== 'text',
      turns: body.messages.filter((m) => m.role === 'user').length,
      inputTokens,
    });
    const context = { tags, prompt };
    const state = this.orgs.get(org) ?? NOTHING_LEARNED;
    const pool = this.sharing.has(org) ? this.pool : undefined;
    return {
      tags,
      promptFeatures: featuresText(prompt),
      of: (backend) => {
        const prior = priorOf(backend);
        const { quality, variance, outcomes } = predictQuality(state, modelOf(backend), context, prior, pool);
        return { quality, qualityVariance: variance, priorQuality: prior.quality, outcomes };
      },
    };
  }

  private heard(data: Uint8Array): void {
    try {
      this.learn(decodeJson(OutcomeRecordedV1, data));
    } catch (error) {
      this.onError(`an outcome taught nothing: ${(error as Error).message}`);
    }
  }

  private learn(event: OutcomeRecordedV1): void {
    const backend = this.backends.get(event.backend);
    const { org } = event.attribution;
    if (!event.quality || !backend || !this.remembered.isNew(`${org}/${event.requestId}/${event.outcomeId}`)) return;
    const prompt = (event.promptFeatures && featuresOfText(event.promptFeatures)) || NO_PROMPT;
    const outcome = {
      model: modelOf(backend),
      context: { tags: event.tags, prompt },
      quality: event.quality.value,
      weight: event.quality.weight,
      prior: priorOf(backend),
    };
    const nowMs = this.clock.nowMs();
    const shift = learnOutcome(this.ofOrg(org), outcome, nowMs);
    this.kept.mark(org);
    if (this.sharing.has(org)) {
      learnOutcome(this.pool, outcome, nowMs);
      this.kept.mark(POOL);
    }
    this.lessons.add(1);
    if (shift) {
      this.shifts.add(1, { org, backend: backend.id, direction: shift.direction });
      this.onError(
        `${backend.id} answers ${shift.direction} than it did for ${org} (its mean was ${shift.qualityBefore.toFixed(2)}); what was known of it counts little from now on`,
      );
    }
  }

  private ofOrg(org: string): OrgQuality {
    const known = this.orgs.get(org) ?? emptyOrgQuality(this.clock.nowMs());
    this.orgs.delete(org);
    this.orgs.set(org, known);
    if (this.orgs.size > MOST_ORGS) this.orgs.delete(this.orgs.keys().next().value!);
    return known;
  }
}

const NOTHING_LEARNED = emptyOrgQuality(0);

function priorOf({ quality }: BackendConfig): QualityPrior {
  return quality ? { quality: quality.prior, outcomes: quality.outcomes } : UNKNOWN_PRIOR;
}

/** Who answers: the same model at the same provider, wherever it runs. */
function modelOf({ provider, model }: BackendConfig): string {
  return `${provider}/${model}`;
}

/** What the request asks: the text of its last message of a user. */
function lastText(body: ChatRequest): string {
  const content = body.messages.findLast((m) => m.role === 'user')?.content ?? '';
  if (typeof content === 'string') return ends(content);
  return ends(content.map((part) => (typeof part['text'] === 'string' ? part['text'] : '')).join('\n'));
}

function ends(text: string): string {
  return text.length <= READ_CHARACTERS
    ? text
    : text.slice(0, READ_CHARACTERS / 2) + text.slice(text.length - READ_CHARACTERS / 2);
}
