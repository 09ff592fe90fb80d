import type {
  BackendConfig,
  ChatRequest,
  MeritorderConfig,
  MeteringUsageRatedV1,
  OutcomeRecordedV1,
  QualityModelShiftedV1,
} from '@meritorder/contracts';
import type { Clock } from '@meritorder/kernel';
import {
  adoptShift,
  emptyOrgQuality,
  featuresOfText,
  featuresText,
  learnAnswer,
  learnReport,
  NO_PROMPT,
  predictQuality,
  readPrompt,
  tagsOf,
  UNKNOWN_PRIOR,
  type OrgQuality,
  type QualityPrior,
  type QualityShift,
} from '@meritorder/quality-core';
import { POOL } from '../application/learned-orgs.js';
import type { Qualities, QualityReading } from '../application/ports.js';

/** A longer prompt counts as one of this length. */
const MOST_CHARACTERS = 4_096;

/** What answers of backends turned out to be worth. Replicas of one model share what is known of it. */
export class MemoryQualities implements Qualities {
  private readonly orgs = new Map<string, OrgQuality>();
  private pool: OrgQuality;
  /** Remembered, since a decision asks for every backend. */
  private readonly answerers = new WeakMap<BackendConfig, Answerer>();
  private readonly sharing: ReadonlySet<string>;

  constructor(
    /** Backends may join it, and leave. */
    protected readonly config: Pick<MeritorderConfig, 'orgs' | 'backends'>,
    private readonly clock: Clock,
  ) {
    this.sharing = new Set(config.orgs.filter((org) => org.shareLearning).map((org) => org.id));
    this.pool = emptyOrgQuality(clock.nowMs());
  }

  /** What is known of an org, or of the POOL. */
  stateOf(org: string): OrgQuality | undefined {
    return org === POOL ? this.pool : this.orgs.get(org);
  }

  restore(org: string, state: OrgQuality): void {
    if (org === POOL) this.pool = state;
    else this.orgs.set(org, state);
  }

  forget(org: string): void {
    this.orgs.delete(org);
  }

  /** Whether the org's lessons are the pool's too. */
  shares(org: string): boolean {
    return this.sharing.has(org);
  }

  read({ body, attribution, inputTokens }: Parameters<Qualities['read']>[0]): QualityReading {
    const { org } = attribution;
    const text = lastText(body);
    // The reader looks at 192 characters of either end.
    const prompt = readPrompt(text, Math.min(text.length, MOST_CHARACTERS));
    const tags = tagsOf({
      ...attribution,
      tools: (body.tools?.length ?? 0) > 0,
      json: body.response_format !== undefined && body.response_format !== null && body.response_format.type !== 'text',
      turns: turnsOf(body),
      inputTokens,
    });
    const context = { tags, prompt };
    const state = this.orgs.get(org) ?? NOTHING_LEARNED;
    const pool = this.poolOf(org);
    return {
      tags,
      // For the record, which is made after the request is on its way.
      get promptFeatures() {
        return featuresText(prompt);
      },
      of: (backend) => {
        const { model, prior } = this.answererOf(backend);
        const { quality, variance, outcomes } = predictQuality(state, model, context, prior, pool);
        return { quality, qualityVariance: variance, priorQuality: prior.quality, outcomes };
      },
    };
  }

  /** @returns undefined: it teaches nothing; else the shift that it completed, if any. */
  learn(event: OutcomeRecordedV1): { shift: QualityShift | undefined } | undefined {
    const backend = this.config.backends.find((b) => b.id === event.backend);
    const { org } = event.attribution;
    if (!event.quality || !backend) return undefined;
    const prompt = (event.promptFeatures && featuresOfText(event.promptFeatures)) || NO_PROMPT;
    const { model, prior } = this.answererOf(backend);
    const report = {
      model,
      context: { tags: event.tags, prompt },
      quality: event.quality.value,
      weight: event.quality.weight,
      prior,
      judged: event.kind === 'judge',
      decidedAtMs: Date.parse(event.decidedAt),
      atMs: Date.parse(event.reportedAt),
    };
    return { shift: learnReport(this.ofOrg(org), report, this.clock.nowMs(), this.poolOf(org)) };
  }

  /** An answer, whatever is reported of it. @returns whether it is one that complaints are a share of */
  learnUsage({ attribution: { org }, backend: id, expected, occurredAt }: MeteringUsageRatedV1): boolean {
    const state = this.orgs.get(org);
    const backend = this.config.backends.find((b) => b.id === id);
    if (!state || !backend || !expected?.tags) return false;
    const answer = { model: this.answererOf(backend).model, tags: expected.tags, atMs: Date.parse(occurredAt) };
    return learnAnswer(state, answer, this.clock.nowMs(), this.poolOf(org));
  }

  /** A shift that another router noticed. @returns whether this one had not */
  adopt({ org, provider, model, since, noticedAt }: QualityModelShiftedV1): boolean {
    const state = this.orgs.get(org);
    const shift = { model: `${provider}/${model}`, sinceMs: Date.parse(since), noticedAtMs: Date.parse(noticedAt) };
    return state !== undefined && adoptShift(state, shift);
  }

  private poolOf(org: string): OrgQuality | undefined {
    return this.sharing.has(org) ? this.pool : undefined;
  }

  private answererOf(backend: BackendConfig): Answerer {
    let known = this.answerers.get(backend);
    if (known === undefined) this.answerers.set(backend, (known = answererOf(backend)));
    return known;
  }

  private ofOrg(org: string): OrgQuality {
    let known = this.orgs.get(org);
    if (known === undefined) this.orgs.set(org, (known = emptyOrgQuality(this.clock.nowMs())));
    return known;
  }
}

const NOTHING_LEARNED = emptyOrgQuality(0);

/** Who answers: the same model at the same provider, wherever it runs. */
interface Answerer {
  model: string;
  prior: QualityPrior;
}

function answererOf({ provider, model, quality }: BackendConfig): Answerer {
  return {
    model: `${provider}/${model}`,
    prior: quality ? { quality: quality.prior, outcomes: quality.outcomes } : UNKNOWN_PRIOR,
  };
}

/** What the request asks: the text of its last message of a user. */
function lastText(body: ChatRequest): string {
  const content = body.messages.findLast((m) => m.role === 'user')?.content ?? '';
  if (typeof content === 'string') return content;
  return content.map((part) => (typeof part['text'] === 'string' ? part['text'] : '')).join('\n');
}

function turnsOf({ messages }: ChatRequest): number {
  let turns = 0;
  for (const { role } of messages) if (role === 'user') turns++;
  return turns;
}
