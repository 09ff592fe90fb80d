import {
  MeritorderConfig,
  subjects,
  type Attribution,
  type BudgetDefinition,
  type ChatRequest,
  type OutcomeRecordedV1,
} from '@meritorder/contracts';
import { windowAt } from '@meritorder/budget-core';
import { emptyLearned, forecastRequest, type RequestForecast } from '@meritorder/estimate-core';
import { seededRandom, sha256Hex, systemClock } from '@meritorder/kernel';
import { proposalsFor, versionOf } from '@meritorder/pricing-core';
import type { DispatchRequest } from '../application/dispatch-request.js';
import { SlotQueue } from '../application/slot-queue.js';
import { MemoryCatalogue } from '../adapters/catalogue.memory.js';
import { HeartbeatFleet } from '../adapters/fleet.memory.js';
import { LearningLoads } from '../adapters/loads.memory.js';
import { MemoryQualities } from '../adapters/quality.memory.js';

export const BACKENDS = 50;
/** Of these so many are own hardware: two replicas of each model. */
const LOCAL = 4;
const PROVIDERS = 8;
/** About 1,000 tokens of English. */
const WORDS = 750;
const PROMPTS = 200;
const OUTCOMES_PER_BACKEND = 200;
/** Each with a budget of its own. */
const CUSTOMERS = 1_000;
const FROM = '2026-01-01T00:00:00.000Z';

const ATTRIBUTION: Attribution = {
  org: 'acme',
  key: 'key-1',
  department: 'eng',
  team: 'search',
  feature: 'chat',
  tier: 'premium',
};

/** Says when a candidate was decided for. */
class WatchedFleet extends HeartbeatFleet {
  onBegan: () => void = () => {};

  override began(backend: string, org: string): void {
    this.onBegan();
    super.began(backend, org);
  }
}

/** Says when a replica is looked at: of a decision, the last time is when all numbers are there. */
class WatchedLoads extends LearningLoads {
  onLooked: () => void = () => {};

  override load(...of: Parameters<LearningLoads['load']>): ReturnType<LearningLoads['load']> {
    this.onLooked();
    return super.load(...of);
  }
}

/** What a router has in memory when it decides, of the size that is measured: its own adapters, told everything they may know. */
export class World {
  readonly clock = systemClock;
  readonly config = configOf(seededRandom(1));
  readonly catalogue = new MemoryCatalogue(this.config);
  readonly fleet = new WatchedFleet(this.clock, () => 0.5);
  readonly slots = new SlotQueue(
    { slots: this.fleet, clock: this.clock, every: () => () => {} },
    this.config.limits,
    () => 1,
  );
  readonly loads = new WatchedLoads(new Map(this.config.backends.map((b) => [b.id, b])), this.fleet);
  readonly qualities = new MemoryQualities(this.config, this.clock);
  private readonly learned = emptyLearned({ tokenizerOf: () => undefined, sharesLearning: () => false });
  private readonly bodies: string[];
  private readonly random = seededRandom(2);

  constructor() {
    this.fleet.onFree = (backend) => this.slots.free(backend);
    const vocabulary = Array.from({ length: 3_000 }, () => word(this.random));
    const prompt = (): string =>
      Array.from({ length: WORDS }, () => vocabulary[Math.floor(this.random() ** 2 * vocabulary.length)]!).join(' ');
    this.bodies = Array.from({ length: PROMPTS }, () => JSON.stringify(bodyOf(prompt())));
    this.tellPrices();
    this.tellBudgets();
    this.tellOutcomes();
    this.beat();
  }

  /** As it comes: parsed anew each time, so that nothing is remembered by its identity. */
  request(index: number): Omit<DispatchRequest, 'context' | 'cancelled'> {
    return {
      requestId: `request-${index}`,
      kind: 'chat',
      body: this.body(index),
      attribution: { ...ATTRIBUTION, customer: `customer-${index % CUSTOMERS}` },
      org: this.config.orgs[0]!,
      replyTo: '_INBOX_acme.1',
      deadlineMs: this.clock.nowMs() + 120_000,
    };
  }

  /** All backends forecast. */
  estimate(body: ChatRequest): RequestForecast {
    const forecast = forecastRequest(
      this.learned,
      { body, org: ATTRIBUTION.org, route: body.model },
      this.clock.nowMs(),
    );
    for (const backend of this.config.backends) forecast.of(backend);
    return forecast;
  }

  /** Every worker says that it lives. */
  beat(): void {
    for (const backend of this.config.backends) {
      const beat = {
        worker: `worker-${backend.id}`,
        backend: backend.id,
        inFlight: 3,
        maxConcurrency: backend.maxConcurrency,
        draining: false,
      };
      this.fleet.heard(Buffer.from(JSON.stringify(beat)), subjects.workerHeartbeat(backend), () => backend);
    }
  }

  private body(index: number): ChatRequest {
    return JSON.parse(this.bodies[index % PROMPTS]!) as ChatRequest;
  }

  private tellPrices(): void {
    for (const backend of this.config.backends) {
      const proposals = proposalsFor(backend, this.config, () => []);
      const versions = proposals.map((p) => versionOf(p, p.effectiveFrom ?? FROM, sha256Hex));
      this.catalogue.setPrices(backend.id, versions);
    }
  }

  private tellBudgets(): void {
    const { org, department, team, feature } = ATTRIBUTION;
    const providers = new Set(this.config.backends.map((b) => b.provider));
    // Eight for each candidate: six of the request, two of the provider.
    const budgets = [
      budget('org-month', { org }),
      budget('org-day', { org }, { window: 'day' }),
      budget('department', { org, department }),
      budget('team', { org, department, team }, { window: 'week' }),
      budget('feature', { org, feature }, { basis: 'full' }),
      budget('customer', { org }, { per: ['customer'], window: 'day' }),
      ...[...providers].flatMap((provider) => [
        budget(`org-${provider}`, { org, provider }),
        budget(`account-${provider}`, { provider }),
      ]),
    ];
    for (const definition of budgets) {
      this.catalogue.setBudget(definition.id, definition);
      this.catalogue.setPolicy(definition.id, {
        budget: definition.id,
        window: windowAt(definition.window, definition.timeZone, this.clock.nowMs()).id,
        shadowPrice: this.random(),
        // As soon as it runs short; the largest bound of half of the candidates is beyond it.
        spareRoomNanos: '4000000',
        stage: 'steady',
        reason: '',
        pinned: false,
        paused: false,
        changedAt: FROM,
      });
    }
    this.catalogue.expectBudgets(budgets.length);
  }

  private tellOutcomes(): void {
    for (let i = 0; i < OUTCOMES_PER_BACKEND; i++) {
      const body = this.body(i);
      const { tags, promptFeatures } = this.qualities.read({ body, attribution: ATTRIBUTION, inputTokens: 1_000 });
      for (const { id } of this.config.backends) this.qualities.learn(this.outcome(id, tags, promptFeatures));
    }
  }

  private outcome(backend: string, tags: string[], promptFeatures: string): OutcomeRecordedV1 {
    return {
      outcomeId: 'judge',
      requestId: 'r',
      attribution: ATTRIBUTION,
      backend,
      kind: 'judge',
      quality: { value: this.random(), weight: 1 },
      tags,
      promptFeatures,
      decidedAt: FROM,
      reportedAt: FROM,
    };
  }
}

function bodyOf(prompt: string): ChatRequest {
  return {
    model: 'auto',
    messages: [
      { role: 'system', content: 'You are a helpful assistant.' },
      { role: 'user', content: prompt },
    ],
    max_tokens: 500,
    stream: true,
  };
}

function configOf(random: () => number): MeritorderConfig {
  const ids = Array.from({ length: BACKENDS }, (_, i) => `backend-${i}`);
  return MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme', departments: ['eng'] }],
    backends: ids.map((id, i) => ({ id, ...(i < LOCAL ? local(i) : cloud(i, random)) })),
    routes: [{ id: 'auto', backends: ids, objective: 'value', usdPerQualityPoint: '0.01' }],
    tiers: [{ id: 'premium', minQuality: 0.1, charge: { markup: '1.2' } }],
  });
}

const BACKEND = {
  baseUrl: 'http://127.0.0.1:1/v1',
  contextTokens: 128_000,
  maxOutputTokens: 4_096,
  capabilities: ['streaming', 'tools', 'json'],
  catalogue: false,
};

function cloud(i: number, random: () => number): object {
  const usd = 10 ** (-1 + 2 * random());
  const rates = { inputUsdPerMillionTokens: usd.toFixed(4), outputUsdPerMillionTokens: (4 * usd).toFixed(4) };
  const contextTiers = [{ overInputTokens: 200_000, ...rates }];
  return {
    ...BACKEND,
    kind: 'cloud',
    provider: `provider-${i % PROVIDERS}`,
    model: `model-${i}`,
    prices: [{ effectiveFrom: FROM, cash: { ...rates, ...(i % 3 === 0 ? { contextTiers } : {}) } }],
  };
}

function local(i: number): object {
  const nothing = { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' };
  return {
    ...BACKEND,
    kind: 'local',
    provider: 'own',
    host: `gpu-${i}`,
    model: `own-model-${i >> 1}`,
    latency: { firstTokenSeconds: 0.3, secondsPerToken: 0.02 },
    prices: [
      {
        effectiveFrom: FROM,
        cash: nothing,
        full: { inputUsdPerMillionTokens: '0.2', outputUsdPerMillionTokens: '0.8' },
        marginal: { inputUsdPerMillionTokens: '0.05', outputUsdPerMillionTokens: '0.2' },
      },
    ],
  };
}

function budget(id: string, selector: BudgetDefinition['selector'], more: Partial<BudgetDefinition> = {}) {
  return {
    id,
    name: id,
    selector,
    window: 'month',
    timeZone: 'UTC',
    limitNanos: '1000000000000',
    limitVersion: 1,
    basis: 'cash',
    thresholds: [0.5, 1],
    ...more,
  } satisfies BudgetDefinition;
}

function word(random: () => number): string {
  const letters = Array.from({ length: 2 + Math.floor(random() * 8) }, () => 97 + Math.floor(random() * 26));
  return String.fromCharCode(...letters);
}
