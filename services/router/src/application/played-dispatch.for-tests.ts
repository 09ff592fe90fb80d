import { ROOT_CONTEXT } from '@opentelemetry/api';
import { expect } from 'vitest';
import {
  EXAMPLES,
  MeritorderConfig,
  type MeritorderOptions,
  type Refusal,
  type RouterReply,
  type RoutingDecisionMadeV1,
  type TierConfig,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import type { ReserveCommand, ReserveReply } from '@meritorder/counters';
import { ManualClock } from '@meritorder/kernel';
import { budgetPath } from './budget-path.js';
import { dispatchRequest, type DispatchPorts } from './dispatch-request.js';
import type { DispatchOutcome } from './outcome.js';
import type { AttemptSignal } from './ports.js';
import { SlotQueue } from './slot-queue.js';

export const NOW = Date.parse('2026-11-24T10:00:00Z');
const AFTER_MS = 1_234;
const config = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: ['a', 'b', 'c'].map((id) => ({
    id,
    kind: 'cloud',
    provider: 'p',
    model: id,
    baseUrl: 'http://127.0.0.1:1',
    contextTokens: 1_000,
    maxOutputTokens: 100,
  })),
  routes: [{ id: 'auto', backends: ['a', 'b', 'c'], hedging: { afterSeconds: AFTER_MS / 1_000 } }],
});
const price = EXAMPLES.events['price.version-published.v1'].version;
const estimate = {
  inputTokensExpected: 10,
  cacheReadTokensExpected: 0,
  cacheWriteTokensExpected: 0,
  inputTokensBound: 40,
  inputTokensUpper: 12,
  outputTokensExpected: 20,
  outputTokensP95: 30,
  outputTokensP99: 45,
};
const expectation = {
  inputTokens: 10,
  inputUpperTokens: 12,
  inputFeatures: { text: 9, tools: 0, messages: 1, images: 0 },
  cacheReadTokens: 0,
  outputTokens: 20,
  outputP95Tokens: 30,
  outputP99Tokens: 45,
};
export const grant = (command: ReserveCommand): ReserveReply => ({
  type: 'granted',
  epochId: 1,
  candidateIndex: 0,
  maxTokens: command.candidates[0]!.maxTokens,
  cashNanos: 5n,
  fullNanos: 6n,
  leaseUntilMs: 0,
  decidedAtMicros: 0,
  left: [],
});

/** Nobody waits. */
export const NO_QUEUE = new SlotQueue(
  {
    slots: {
      hasSlot: () => false,
      isWithinShare: () => false,
      waits: () => {},
      arrived: () => {},
      wasFull: () => {},
      began: () => {},
      left: () => {},
    },
    clock: new ManualClock(NOW),
    every: () => expect.unreachable(),
  },
  { requestsWaitingPerRouter: 0, requestsWaitingPerOrg: 0 },
  () => 1,
);

export interface World {
  /** Of the second reservation. */
  reserve?: (command: ReserveCommand) => ReserveReply | Promise<ReserveReply>;
  hedgesLeft?: number;
  retriesLeft?: number;
  isJob?: boolean;
  tier?: Partial<TierConfig>;
  backends?: string[];
  wishes?: MeritorderOptions;
  /** How long each backend is expected to take, seconds; default: not known. */
  seconds?: Record<string, number>;
  org?: string;
  deadlineMs?: number;
  limits?: Partial<typeof config.limits>;
  /** In place of those that are played here. */
  ports?: Partial<DispatchPorts>;
}

/** A request on its way, whose attempts and timers the test plays. */
export class Played {
  readonly log: string[] = [];
  readonly works: WorkRequest[] = [];
  readonly decisions: RoutingDecisionMadeV1[] = [];
  readonly refusals: Refusal[] = [];
  readonly counted: string[] = [];
  readonly spent: number[] = [];
  readonly cancel = new AbortController();
  readonly done: Promise<DispatchOutcome>;
  outcome: DispatchOutcome | undefined;
  private readonly signals = new Map<string, (heard: Heard) => void>();
  private readonly pending = new Map<string, Heard[]>();
  private readonly opening = new Map<string, (isOpen: boolean) => void>();
  private readonly timers = new Map<() => void, number>();
  private reservations = 0;

  constructor(private readonly world: World) {
    const ports = { ...this.ports(), ...world.ports };
    const org = world.org ?? 'acme';
    this.done = dispatchRequest(
      ports,
      { ...config.limits, ...world.limits },
      {
        requestId: 'r1',
        ...(world.isJob ? { isJob: true } : {}),
        kind: 'chat',
        body: {
          model: 'auto',
          messages: [{ role: 'user', content: 'hi' }],
          max_tokens: 50,
          stream: true,
          meritorder: world.wishes,
        },
        attribution: { org },
        org: { ...config.orgs[0]!, id: org },
        replyTo: `_INBOX_${org}.x`,
        deadlineMs: world.deadlineMs ?? NOW + 60_000,
        context: ROOT_CONTEXT,
        cancelled: this.cancel.signal,
      },
    );
    void this.done.then((outcome) => (this.outcome = outcome));
  }

  /** What is on its way has arrived. */
  async quiet(): Promise<this> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    return this;
  }

  /** The first token has not come in time. */
  async late(): Promise<this> {
    for (const [run, ms] of this.timers) if (ms === AFTER_MS) run();
    return this.quiet();
  }

  /** The worker of a backend says something; its reply, if there is one by then. */
  async says(
    backend: string,
    signal: AttemptSignal | 'ready' | 'first-token' | 'turn',
  ): Promise<RouterReply | undefined> {
    let answer: RouterReply | undefined;
    const attemptId = this.works.findLast((w) => w.terms.backend === backend)!.terms.attemptId;
    const event = typeof signal === 'string' ? ({ type: signal, attemptId } as WorkEvent) : signal;
    if (event.type === 'ready') this.opening.get(attemptId)?.(true);
    const heard: Heard = { signal: event, reply: (reply) => void (answer = reply) };
    const waiting = this.signals.get(backend);
    if (waiting) {
      this.signals.delete(backend);
      waiting(heard);
    } else this.pending.set(backend, [...(this.pending.get(backend) ?? []), heard]);
    await this.quiet();
    this.lastReply = () => answer;
    return answer;
  }
  /** The counters answer when the worker is ready, so that a test can say what comes before. */
  private opened(attemptId: string): Promise<boolean> {
    return new Promise((resolve) => this.opening.set(attemptId, resolve));
  }

  /** Of what was said last, which may come later. */
  lastReply: () => RouterReply | undefined = () => undefined;

  private ports(): DispatchPorts {
    const { world, log } = this;
    const backends = config.backends.filter((b) => world.backends?.includes(b.id) ?? true);
    let [hedges, retries] = [world.hedgesLeft ?? 1, world.retriesLeft ?? 10];
    return {
      clock: new ManualClock(NOW),
      admission: {
        epochId: () => 1,
        reserve: async (command) => {
          log.push(`reserve ${command.candidates.map((c) => c.backend).join(' ')}`);
          return (this.reservations++ === 1 && world.reserve ? world.reserve : grant)(command);
        },
        open: (attemptId) => this.opened(attemptId),
        renew: async () => {},
        extend: async (_id, to) => ({ type: 'extended', ...to }),
        release: async () => void log.push('release'),
      },
      catalogue: {
        backend: (id) => backends.find((b) => b.id === id),
        route: (id) => ({ id, backends, settings: config.routes[0]! }),
        routeIds: () => ['auto'],
        providersOf: () => [],
        price: () => price,
        otherPrices: () => [],
        knowsAllBudgets: () => true,
        budgetsOf: () => () => [],
        pathOf: (windows) => budgetPath(windows, () => undefined),
        accountLimits: () => undefined,
        substitutesOf: () => [],
        tier: () =>
          world.tier && ({ id: 'gold', priority: 'normal', allowSubstitution: true, ...world.tier } as TierConfig),
        tierIds: () => [],
      },
      estimator: { estimate: () => ({ of: () => estimate, expectation: () => expectation, sentTo: () => {} }) },
      qualities: {
        read: () => ({
          tags: ['chat'],
          promptFeatures: '',
          of: () => ({ quality: 0.5, qualityVariance: 0, priorQuality: 0.5, outcomes: 0 }),
        }),
      },
      conversions: { read: () => expect.unreachable() },
      loads: {
        numbers: ({ id }) => ({
          gpuSeconds: 0,
          usdPerGpuSecond: 0,
          lateSeconds: 0,
          latencySeconds: world.seconds?.[id],
        }),
        latencySeconds: () => 1,
        askAgainInSeconds: () => 1,
        hedgeAfterSeconds: () => AFTER_MS / 1_000,
        load: () => ({ inFlight: 0, capacity: 1, waitingInEngine: 0, kvCacheShare: 0 }),
      },
      retries: { earn: () => {}, spend: () => retries-- > 0 },
      hedges: {
        earn: ({ route, tier }) => void log.push(`request of ${route} ${tier}`),
        spend: (_scope, usd) => (this.spent.push(usd), hedges-- > 0),
        giveBack: (_scope, usd) => void this.spent.push(-usd),
        count: (_scope, event) => void this.counted.push(event),
      },
      random: () => 0.5,
      fleet: {
        workersAlive: () => 1,
        workersWithRoom: () => 1,
        allows: () => true,
        cooling: () => ({ quota: false, seconds: 0 }),
        mayTake: () => true,
        began: () => {},
        arrived: () => {},
        wasFull: () => {},
        left: () => {},
        probing: () => {},
        succeeded: (b) => void log.push(`${b} succeeded`),
        failed: (b) => void log.push(`${b} failed`),
        quota: () => {},
        ended: () => {},
      },
      workers: {
        dispatch: (work) => {
          const { backend } = work.terms;
          this.works.push(structuredClone(work));
          log.push(`send ${backend}`);
          return {
            next: () =>
              new Promise((resolve) => {
                const ready = this.pending.get(backend)?.shift();
                if (ready) resolve(ready);
                else this.signals.set(backend, resolve);
              }),
            taken: Promise.resolve(),
            go: () => {},
            stop: (reason) => void log.push(`stop ${backend}${reason ? ` ${reason}` : ''}`),
            close: () => void log.push(`close ${backend}`),
          };
        },
      },
      caller: { refuse: (_to, _id, refusal) => void this.refusals.push(refusal) },
      decisions: { record: (made) => void this.decisions.push(made()) },
      attempts: {
        recorder: 'router',
        opened: async () => {},
        closed: async ({ backend, code }) => log.push(`${backend} closed ${code}`) > 0,
      },
      extensions: { record: () => expect.unreachable() },
      keys: { claim: async (_org, _key, use) => use, answered: async () => {}, free: async () => {} },
      slots: NO_QUEUE,
      every: (ms, run) => {
        this.timers.set(run, ms);
        return () => void this.timers.delete(run);
      },
    };
  }
}

interface Heard {
  signal: AttemptSignal;
  reply(answer: RouterReply): void;
}
