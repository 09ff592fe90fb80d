import {
  EXAMPLES,
  MeritorderConfig,
  subjects,
  type MeteringUsageRatedV1,
  type OutcomeRecordedV1,
} from '@meritorder/contracts';
import { busOn, ensureTopology, type Bus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { connect } from '@nats-io/transport-node';
import { EventsFeed } from './events-feed.nats.js';
import { afterAll, beforeAll } from 'vitest';

const NOW_MS = Date.parse('2026-11-25T08:00:00Z');
export const NOW = new Date(NOW_MS).toISOString();
export const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'first' }, { id: 'sharing', shareLearning: true }, { id: 'newcomer', shareLearning: true }],
  backends: [
    {
      id: 'gpt',
      kind: 'cloud',
      provider: 'openai',
      model: 'some-model',
      baseUrl: 'http://127.0.0.1:1',
      contextTokens: 100_000,
      maxOutputTokens: 16_000,
    },
  ],
});

interface Learning {
  start(): Promise<void>;
  close(): Promise<void>;
}

/** A NATS of a test file, with a metering that tells of outcomes and usage, and routers that learn of them. */
export class LearningWorld {
  private readonly nats = useNats();
  readonly clock = { nowMs: () => NOW_MS };
  readonly errors: string[] = [];
  readonly onError = (message: string): void => void this.errors.push(message);
  private readonly buses: Bus[] = [];
  private readonly busBy = new Map<Learning, Bus>();
  metering!: Bus;
  private told = 0;

  constructor() {
    beforeAll(async () => {
      this.metering = await this.busOf('metering');
      await ensureTopology(this.metering, config);
    });
    afterAll(async () => {
      await Promise.all(this.buses.map((bus) => bus.close()));
    });
  }

  async busOf(name: string): Promise<Bus> {
    const bus = busOn(await connect({ servers: this.nats.url }), name);
    this.buses.push(bus);
    return bus;
  }

  async started<T extends Learning>(make: (bus: Bus, feed: EventsFeed) => T): Promise<T> {
    const bus = await this.busOf('router');
    const feed = await EventsFeed.open(bus, this.onError);
    const router = make(bus, feed);
    await router.start();
    feed.start();
    this.busBy.set(router, bus);
    return router;
  }

  /** As a process that is killed: nothing is kept any more. */
  async kill(router: Learning): Promise<void> {
    await this.busBy.get(router)!.close();
    await router.close();
  }

  tellOutcome(org: string, value = 0.9, times = 1, told: Partial<OutcomeRecordedV1> = {}): void {
    for (let i = 0; i < times; i++, this.told++) {
      const event: OutcomeRecordedV1 = {
        ...(EXAMPLES.events['outcome.recorded.v1'] as OutcomeRecordedV1),
        attribution: { org },
        outcomeId: 'judge',
        requestId: `r-${this.told}`,
        backend: 'gpt',
        quality: { value, weight: 1 },
        reportedAt: NOW,
        ...told,
      };
      this.metering.nats.publish(subjects.outcomeRecorded(org), JSON.stringify(event));
    }
  }

  tellUsage(org: string, outputTokens = 40, times = 1, task = 'story', told: Partial<MeteringUsageRatedV1> = {}): void {
    const rated = EXAMPLES.events['metering.usage-rated.v1'] as MeteringUsageRatedV1;
    for (let i = 0; i < times; i++, this.told++) {
      const event: MeteringUsageRatedV1 = {
        ...rated,
        attemptId: `a-${this.told}`,
        requestId: `r-${this.told}`,
        attribution: { org, task },
        backend: 'gpt',
        model: 'some-model',
        state: 'confirmed',
        cause: 'closed',
        revision: 1,
        outcome: 'finished',
        usageBasis: 'reported',
        usage: { ...rated.usage!, outputTokens },
        occurredAt: NOW,
        expected: {
          route: 'auto',
          inputTokens: 10,
          inputUpperTokens: 12,
          inputFeatures: { text: 10, tools: 0, messages: 1, images: 0 },
          cacheReadTokens: 0,
          outputTokens: 20,
          outputP95Tokens: 60,
          outputP99Tokens: 90,
          maxTokens: 16_000,
          choices: 1,
          tags: ['feature:chatbot'],
        },
        ...told,
      };
      this.metering.nats.publish(`metering.usage-rated.v1.${org}`, JSON.stringify(event));
    }
  }
}
