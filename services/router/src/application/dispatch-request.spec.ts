import { ROOT_CONTEXT } from '@opentelemetry/api';
import { describe, expect, it } from 'vitest';
import {
  EXAMPLES,
  MeritorderConfig,
  TierConfig,
  type BackendConfig,
  type BudgetDefinition,
  type BudgetPolicy,
  type JobAcceptedV1,
  type MeritorderOptions,
  type PriceVersion,
  type Refusal,
  type RouterReply,
  type RoutingDecisionMadeV1,
  type WorkRequest,
} from '@meritorder/contracts';
import { enforce, type EnforcedBudget } from '@meritorder/budget-core';
import type { BindingAccount, BindingBudget, ReserveCommand, ReserveGrant, ReserveReply } from '@meritorder/counters';
import { ManualClock, nanosToUsd } from '@meritorder/kernel';
import { replay, type ExpectedRevenue } from '@meritorder/routing-core';
import { budgetPath } from './budget-path.js';
import { orgsCopy } from './decision-record.js';
import { dispatchRequest, type DispatchPorts, type DispatchRequest } from './dispatch-request.js';
import { NO_QUEUE } from './played-dispatch.for-tests.js';
import type { AttemptSignal } from './ports.js';
import { readRequest, type RequestReading } from './read-request.js';

const price = EXAMPLES.events['price.version-published.v1'].version;
const rated = (card: PriceVersion['cash']) => ({ ...card, serviceTiers: { batch: card } });
const withBatches: PriceVersion = { ...price, cash: rated(price.cash), full: rated(price.full) };
const NOW = Date.parse('2026-11-24T10:00:00Z');
const budget: BudgetDefinition = {
  id: 'org',
  name: 'Org',
  selector: { org: 'acme' },
  window: 'day',
  timeZone: 'UTC',
  limitNanos: '1000',
  limitVersion: 1,
  basis: 'cash',
  thresholds: [],
};
const enforced = enforce(budget);
const backends = ['a', 'b', 'c'].map(
  (id) =>
    ({
      id,
      provider: 'p',
      model: id,
      contextTokens: 1_000,
      maxOutputTokens: 100,
      firstTokenTimeoutMs: 60_000,
      capabilities: ['streaming'],
      templateTokensPerMessage: 1,
    }) as unknown as BackendConfig,
);
const { limits } = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: [
    {
      id: 'a',
      kind: 'cloud',
      provider: 'p',
      model: 'a',
      baseUrl: 'http://127.0.0.1:1',
      contextTokens: 1,
      maxOutputTokens: 1,
    },
  ],
});

const EXPECTED = {
  inputTokensExpected: 10,
  cacheReadTokensExpected: 4,
  cacheWriteTokensExpected: 0,
  inputTokensBound: 40,
  inputTokensUpper: 12,
  outputTokensExpected: 20,
  outputTokensP95: 30,
  outputTokensP99: 45,
};
const EXPECTATION = {
  inputTokens: 10,
  inputUpperTokens: 12,
  inputFeatures: { text: 9, tools: 0, messages: 1, images: 0 },
  cacheReadTokens: 4,
  outputTokens: 20,
  outputP95Tokens: 60,
  outputP99Tokens: 90,
};

interface World {
  tier?: TierConfig | 'none';
  policy?: BudgetPolicy;
  quality?: Record<string, number>;
  /** What a conversion brings, as learned. */
  revenue?: ExpectedRevenue;
  retries?: boolean;
  budgetsMissing?: boolean;
  otherPrices?: PriceVersion[];
  /** What the worker of each backend says, in order. */
  workers?: Record<string, AttemptSignal[]>;
  reserve?: (command: ReserveCommand) => ReserveReply;
  open?: boolean;
  /** The stream does not take what is opened. */
  noRecord?: boolean;
  cancelled?: boolean;
  deadlineMs?: number;
  wishes?: MeritorderOptions;
  /** How long each backend is expected to take, seconds; default 1. */
  seconds?: Record<string, number>;
  jobDeadlineMs?: number;
  /** It may be in a batch. */
  batchable?: boolean;
  /** Between two things that a worker says. */
  workerMs?: number;
  model?: string;
  budgets?: EnforcedBudget[];
  stream?: boolean;
  timersRun?: boolean;
  account?: { requestsPerMinute?: number; tokensPerMinute?: number };
  /** Of another kind than chat. */
  reading?: RequestReading;
  config?: Record<string, Partial<BackendConfig>>;
}

async function dispatch(world: World) {
  const log: string[] = [];
  const inFlight: Record<string, number> = {};
  const sentTo: string[] = [];
  const refusals: Refusal[] = [];
  const works: WorkRequest[] = [];
  const decisions: RoutingDecisionMadeV1[] = [];
  const timers = new Set<() => void>();
  const abort = new AbortController();
  if (world.cancelled) abort.abort();
  const clock = new ManualClock(NOW);
  const ports: DispatchPorts = {
    clock,
    admission: {
      epochId: () => 1,
      reserve: async (command) => {
        log.push(`reserve ${command.candidates.map((c) => c.backend).join(' ')}`);
        return (world.reserve ?? grantFirst)(command);
      },
      open: async () => (log.push('open'), world.open ?? true),
      renew: async (_id, leaseMs) => void log.push(`renew ${leaseMs}`),
      extend: async (_id, to) => (log.push(`extend ${to.cashNanos}`), { type: 'extended', ...to }),
      release: async () => void log.push('release'),
    },
    catalogue: {
      backend: (id) => backends.find((b) => b.id === id),
      route: (id) =>
        id === 'auto' ? { id, backends: backends.map((b) => ({ ...b, ...world.config?.[b.id] })) } : undefined,
      routeIds: () => ['auto'],
      providersOf: () => [],
      price: () => (world.batchable ? withBatches : price),
      otherPrices: () => world.otherPrices ?? [],
      knowsAllBudgets: () => !world.budgetsMissing,
      budgetsOf: () => () => world.budgets ?? [enforced],
      accountLimits: () => world.account,
      substitutesOf: () => [],
      tier: () => world.tier,
      tierIds: () => ['free'],
      pathOf: (windows) => budgetPath(windows, () => world.policy),
    },
    estimator: {
      estimate: () => ({ of: () => EXPECTED, expectation: () => EXPECTATION, sentTo: (b) => void sentTo.push(b.id) }),
    },
    qualities: {
      read: () => ({
        tags: ['chat'],
        promptFeatures: '',
        of: ({ id }) => ({ quality: world.quality?.[id] ?? 0.5, qualityVariance: 0, priorQuality: 0.5, outcomes: 0 }),
      }),
    },
    conversions: {
      read: () => ({
        revenue: (configuredUsd) => world.revenue ?? { usd: configuredUsd ?? 0, from: 'configured' },
        of: () => ({ conversion: 0.02, conversionVariance: 0, conversionKnown: false, priorConversion: 0.02 }),
      }),
    },
    loads: {
      numbers: ({ id }) => ({
        gpuSeconds: 0,
        usdPerGpuSecond: 0,
        lateSeconds: 0,
        latencySeconds: world.seconds?.[id] ?? 1,
      }),
      latencySeconds: () => 1,
      askAgainInSeconds: () => 7,
      hedgeAfterSeconds: () => 1,
      load: () => ({ inFlight: 0, capacity: 1, waitingInEngine: 0, kvCacheShare: 0 }),
    },
    hedges: { earn: () => {}, spend: () => true, giveBack: () => {}, count: () => {} },
    retries: { earn: () => {}, spend: () => world.retries !== false },
    random: () => 0.5,
    fleet: {
      workersAlive: () => 1,
      workersWithRoom: () => 1,
      allows: () => true,
      cooling: () => ({ quota: false, seconds: 0 }),
      mayTake: () => true,
      began: (b) => void (inFlight[b] = (inFlight[b] ?? 0) + 1),
      arrived: () => {},
      wasFull: () => {},
      left: (b) => void (inFlight[b] = (inFlight[b] ?? 0) - 1),
      probing: () => {},
      succeeded: (b) => void log.push(`${b} succeeded`),
      failed: (b) => void log.push(`${b} failed`),
      quota: (b, ms) => void log.push(`${b} quota ${ms}`),
      ended: () => {},
    },
    workers: {
      dispatch: (work) => {
        works.push(work);
        const { backend, attemptNumber } = work.terms;
        const signals = [...(world.workers?.[`${backend} ${attemptNumber}`] ?? world.workers?.[backend] ?? OK)];
        return {
          next: async () => {
            for (const run of world.timersRun ? timers : []) run();
            clock.advance(world.workerMs ?? 0);
            return { signal: signals.shift()!, reply: (answer: RouterReply) => void log.push(answer.type) };
          },
          taken: Promise.resolve(),
          go: () => {},
          stop: () => void log.push('stop attempt'),
          close: () => {},
        };
      },
    },
    caller: { refuse: (_to, _id, refusal) => void refusals.push(refusal) },
    decisions: { record: (make) => void decisions.push(make()) },
    attempts: {
      recorder: 'router',
      opened: async () => {
        if (world.noRecord) throw new Error('no stream');
      },
      closed: async ({ backend, code }) => log.push(`${backend} closed ${code}`) > 0,
    },
    extensions: { record: async (event) => void log.push(`recorded ${event.governed?.heldTokens}`) },
    keys: {
      claim: async (_org, _key, use) => use,
      answered: async () => {},
      free: async () => {},
    },
    slots: NO_QUEUE,
    every: (ms, run) => {
      log.push(`every ${ms}`);
      timers.add(run);
      return () => void timers.delete(run);
    },
  };
  const request: DispatchRequest = {
    requestId: 'r1',
    kind: 'chat',
    body: {
      model: world.model ?? 'auto',
      messages: [{ role: 'user', content: 'hi' }],
      max_completion_tokens: 50,
      metadata: { department: 'eng' },
      ...(world.stream ? { stream: true } : {}),
      meritorder: world.wishes ?? {},
      temperature: 0.5,
    },
    ...world.reading,
    attribution: { org: 'acme', department: 'eng' },
    org: { id: 'acme', departments: [], keys: [], requireKey: false, shareLearning: false, subscribers: [] },
    replyTo: '_INBOX_acme.x',
    deadlineMs: world.deadlineMs ?? NOW + 60_000,
    ...(world.jobDeadlineMs === undefined ? {} : { isJob: true, jobDeadlineMs: world.jobDeadlineMs }),
    ...(world.batchable ? { job: {} as JobAcceptedV1 } : {}),
    context: ROOT_CONTEXT,
    cancelled: abort.signal,
  };
  const outcome = await dispatchRequest(ports, limits, request);
  return {
    outcome,
    log: log.filter((l) => !l.startsWith('every')),
    timers: log.filter((l) => l.startsWith('every')),
    refusals,
    works,
    decisions,
    sentTo,
    inFlight,
  };
}

const ready: AttemptSignal = { type: 'ready', attemptId: 'x' };
const OK: AttemptSignal[] = [ready, { type: 'finished', attemptId: 'x', status: 'ok' }];
const failed = (
  code: Extract<AttemptSignal, { type: 'failed' }>['code'],
  retryable = true,
  again = false,
): AttemptSignal => ({
  type: 'failed',
  attemptId: 'x',
  retryable,
  code,
  message: 'said so',
  retryAfterSeconds: 3,
  ...(again ? { again } : {}),
});
const grantFirst = (command: ReserveCommand): ReserveGrant => ({
  type: 'granted',
  epochId: 1,
  candidateIndex: 0,
  maxTokens: Math.min(40, command.candidates[0]!.maxTokens),
  cashNanos: 5n,
  fullNanos: 6n,
  leaseUntilMs: 0,
  decidedAtMicros: 0,
  left: [],
});
const binding = (kind: BindingBudget['kind'], more: Partial<BindingBudget> = {}): BindingBudget => ({
  budget: 'org',
  window: '2026-11-24',
  basis: 'cash',
  kind,
  limitNanos: 1000n,
  settledNanos: 900n,
  unconfirmedNanos: 50n,
  reservedNanos: 40n,
  neededNanos: 200n,
  earliestLeaseInMs: 7_500,
  ...more,
});
/** The bindings of the candidates; the last one is also that of those after it. */
const refuseWith =
  (...bindings: (BindingBudget | BindingAccount)[]) =>
  (command: ReserveCommand): ReserveReply => ({
    type: 'refused',
    decidedAtMicros: 0,
    candidates: command.candidates.map((_, i) => bindings[i] ?? bindings.at(-1)!),
  });

describe('a request', () => {
  it('is reserved, opened, and only then told to go; the grant clamps its output', async () => {
    const { outcome, log, works, decisions } = await dispatch({});
    expect(outcome).toEqual({ ended: 'answered' });
    expect(log).toEqual(['reserve a b c', 'open', 'go', 'a succeeded']);
    expect(works[0]).toMatchObject({
      body: { max_tokens: 40, temperature: 0.5 },
      terms: {
        bound: { cashNanos: '5', fullNanos: '6' },
        epoch: 1,
        windows: [{ budget: 'org', window: '2026-11-24', basis: 'cash' }],
        reservedAt: '2026-11-24T10:00:00.000Z',
      },
      price: { id: price.id },
    });
    for (const field of ['metadata', 'meritorder', 'max_completion_tokens'])
      expect(works[0]!.body).not.toHaveProperty(field);
    expect(decisions).toMatchObject([
      { choice: 'a', candidates: [{ backend: 'a' }, { backend: 'b' }, { backend: 'c' }] },
    ]);
  });

  it.each<[string, World, string[], string | undefined]>([
    [
      'goes on with the next candidate after a failure before the first token',
      { workers: { a: [ready, failed('server-error')] } },
      ['reserve a b c', 'open', 'go', 'taken', 'a failed', 'reserve b c', 'open', 'go', 'b succeeded'],
      undefined,
    ],
    [
      'a quota answer cools the backend down',
      { workers: { a: [ready, failed('quota')] } },
      ['reserve a b c', 'open', 'go', 'taken', 'a quota 3000', 'reserve b c', 'open', 'go', 'b succeeded'],
      undefined,
    ],
    [
      'a credential that is out of quota is not the backend: it is asked again while another is free',
      { workers: { 'a 1': [ready, failed('quota', true, true)] } },
      ['reserve a b c', 'open', 'go', 'taken', 'reserve a b c', 'open', 'go', 'a succeeded'],
      undefined,
    ],
    [
      'a worker that ends is not its backend: another one is asked again, and the next backend when that fails too',
      { workers: { 'a 1': [ready, failed('draining', true, true)], 'a 2': [ready, failed('server-error')] } },
      [
        'reserve a b c',
        'open',
        'go',
        'taken',
        'reserve a b c',
        'open',
        'go',
        'taken',
        'a failed',
        'reserve b c',
        'open',
        'go',
        'b succeeded',
      ],
      undefined,
    ],
    [
      'and goes elsewhere once none is',
      { workers: { 'a 1': [ready, failed('credential', true, true)], 'a 2': [ready, failed('quota')] } },
      [
        'reserve a b c',
        'open',
        'go',
        'taken',
        'reserve a b c',
        'open',
        'go',
        'taken',
        'a quota 3000',
        'reserve b c',
        'open',
        'go',
        'b succeeded',
      ],
      undefined,
    ],
    [
      'a refused credential cools the backend down where it has no other',
      { workers: { a: [ready, failed('credential')] } },
      ['reserve a b c', 'open', 'go', 'taken', 'a quota 3000', 'reserve b c', 'open', 'go', 'b succeeded'],
      undefined,
    ],
    [
      'what a content filter refuses is not tried elsewhere, and is no failure',
      { workers: { a: [ready, failed('content-filter', false)] } },
      ['reserve a b c', 'open', 'go', 'taken'],
      'content_filtered',
    ],
    [
      "the caller's fault is not tried elsewhere",
      { workers: { a: [ready, failed('caller-fault', false)] } },
      ['reserve a b c', 'open', 'go', 'taken'],
      'upstream_rejected',
    ],
    [
      'a context too small for one backend is tried on the next, and is no failure',
      { workers: { a: [ready, failed('context-length')] } },
      ['reserve a b c', 'open', 'go', 'taken', 'reserve b c', 'open', 'go', 'b succeeded'],
      undefined,
    ],
    [
      'no worker and a busy one: on record as not sent, and only then their holds are given back',
      { workers: { a: [{ type: 'no-worker' }], b: [{ type: 'refused', code: 'busy', message: 'full' }] } },
      [
        'reserve a b c',
        'a closed no-worker',
        'release',
        'reserve b c',
        'b closed busy',
        'release',
        'reserve c',
        'open',
        'go',
        'c succeeded',
      ],
      undefined,
    ],
    [
      'a hold that is gone is not sent',
      { open: false },
      ['reserve a b c', 'open', 'stop', 'reserve b c', 'open', 'stop', 'reserve c', 'open', 'stop'],
      'admission_closed',
    ],
    [
      'what the stream does not record is not sent, and its hold is left to its lease',
      { noRecord: true },
      [
        'reserve a b c',
        'stop',
        'a closed no-worker',
        'reserve b c',
        'stop',
        'b closed no-worker',
        'reserve c',
        'stop',
        'c closed no-worker',
      ],
      'backend_unavailable',
    ],
    [
      'a worker lost before its first token: the hold stays, the next candidate is tried',
      { workers: { a: [ready, { type: 'silent', firstTokenSeen: false }] } },
      ['reserve a b c', 'open', 'go', 'stop attempt', 'a failed', 'reserve b c', 'open', 'go', 'b succeeded'],
      undefined,
    ],
    [
      'a worker that never answered and was never told to go: on record as not sent, the hold is given back',
      { workers: { a: [{ type: 'silent', firstTokenSeen: false }] } },
      [
        'reserve a b c',
        'stop attempt',
        'a failed',
        'a closed no-worker',
        'release',
        'reserve b c',
        'open',
        'go',
        'b succeeded',
      ],
      undefined,
    ],
    [
      'a worker lost after the first token is not retried',
      { workers: { a: [ready, { type: 'silent', firstTokenSeen: true }] } },
      ['reserve a b c', 'open', 'go', 'stop attempt', 'a failed'],
      'stream_cut',
    ],
    ['cancelled before it was decided', { cancelled: true }, [], 'cancelled'],
    ['past its deadline', { deadlineMs: NOW }, [], 'deadline_exceeded'],
    ['of an unknown route', { model: 'nope' }, [], 'route_unknown'],
    ['before all budgets are known', { budgetsMissing: true }, [], 'admission_closed'],
    ['while admission is closed', { reserve: () => ({ type: 'epoch' }) }, ['reserve a b c'], 'admission_closed'],
  ])('%s', async (_name, world, expected, code) => {
    const { log, refusals } = await dispatch(world);
    expect(log).toEqual(expected);
    expect(refusals.map((r) => r.code)).toEqual(code === undefined ? [] : [code]);
  });

  it('that is too long for every backend is told so, and one that finds all out of quota when to come back', async () => {
    const everywhere = (code: Parameters<typeof failed>[0]) => {
      const signals = [ready, failed(code)];
      return { workers: { a: signals, b: signals, c: signals } };
    };
    expect((await dispatch(everywhere('context-length'))).refusals).toMatchObject([{ code: 'no_able_backend' }]);
    expect((await dispatch(everywhere('quota'))).refusals).toMatchObject([
      { code: 'backend_quota', retryAfterSeconds: 3 },
    ]);
    const [broken] = (await dispatch(everywhere('server-error'))).refusals;
    expect(broken).toMatchObject({
      code: 'backend_failed',
      details: { failures: ['server-error', 'server-error', 'server-error'] },
    });
    expect(broken).not.toHaveProperty('retryAfterSeconds');
  });

  it('that was answered with what cannot be passed on is not to be asked again: it would be charged again', async () => {
    const { refusals } = await dispatch({ workers: { a: [ready, failed('protocol', false)] } });
    expect(refusals).toMatchObject([{ code: 'answer_unusable' }]);
  });

  it('that ran into its own deadline is not to be asked again, and says of the backend only what that had time for', async () => {
    const signals = { workers: { a: [ready, failed('timeout', false)] } };
    const hasty = await dispatch({ ...signals, deadlineMs: NOW + 1_000 });
    expect(hasty.refusals).toMatchObject([{ code: 'deadline_exceeded', message: expect.stringContaining('a: ') }]);
    expect(hasty.log).not.toContain('a failed');
    const patient = await dispatch({ ...signals, deadlineMs: NOW + 3_600_000 });
    expect(patient.refusals).toMatchObject([{ code: 'deadline_exceeded' }]);
    expect(patient.log).toContain('a failed');
  });

  it('that goes to a later candidate says why those before it were passed over, in the sentence and on record', async () => {
    const over = (...passedOver: NonNullable<ReserveGrant['passedOver']>) =>
      dispatch({
        reserve: (command) => ({ ...grantFirst(command), candidateIndex: 2, passedOver }),
        workers: { c: OK },
      });
    const stage = await over({
      candidateIndex: 0,
      binding: binding('stage', { stage: 'prefer-local', settledNanos: 1n }),
    });
    expect(stage.decisions[0]!.reason).toContain('; org is at a stage that prefers own hardware to a and b');
    const recorded = { kind: 'stage', budget: 'org', window: '2026-11-24', stage: 'prefer-local' };
    expect(stage.decisions[0]!.candidates.map((c) => c.passedOver)).toEqual([recorded, recorded, undefined]);
    const rate: BindingAccount = {
      kind: 'rate',
      account: 'p',
      short: 'requests',
      limitPerMinute: 3,
      asked: 1,
      retryInMs: 9,
    };
    const busy = await over({ candidateIndex: 0, binding: rate }, { candidateIndex: 1, binding: binding('exhausted') });
    expect(busy.decisions[0]!.reason).toContain(
      '; the account at p is at its limit of 3 requests a minute, so not a; org had no room for b',
    );
    expect(busy.decisions[0]!.candidates[0]!.passedOver).toEqual({
      kind: 'rate',
      account: 'p',
      short: 'requests',
      limitPerMinute: 3,
    });
  });

  it('has one cap for all its attempts: what those before may have been charged is no room for the next', async () => {
    const [uncapped] = (await dispatch({ workers: { a: OK } })).decisions;
    const bound = BigInt(uncapped!.candidates[0]!.boundCashNanos!);
    // Not clamped, as `grantFirst` would.
    const grantWhole = (command: ReserveCommand) => ({
      ...grantFirst(command),
      maxTokens: command.candidates[0]!.maxTokens,
    });
    const after = (signals: AttemptSignal[], cap: bigint) =>
      dispatch({
        wishes: { max_cost_usd: nanosToUsd(cap) },
        reserve: grantWhole,
        workers: { a: signals, b: OK },
      });
    const broken = failed('server-error') as Extract<AttemptSignal, { type: 'failed' }>;
    const short = await after([ready, broken], 2n * bound - 1n);
    expect(short.refusals).toEqual([
      {
        code: 'cost_cap',
        message: expect.stringMatching(
          new RegExp(
            `^Of the cap of \\$${nanosToUsd(2n * bound - 1n)}, \\$${nanosToUsd(bound)} may have been charged already, by a; b may cost .*; c may cost .*\\. a: said so \\(server-error\\)$`,
          ),
        ),
        param: 'meritorder.max_cost_usd',
        details: { failures: ['server-error'], cap_usd: nanosToUsd(2n * bound - 1n), spent_usd: nanosToUsd(bound) },
      },
    ]);
    expect(short.decisions[1]).toMatchObject({ choice: null, policy: { maxCostUsd: Number(bound - 1n) / 1e9 } });
    expect((await after([ready, broken], 2n * bound)).outcome).toEqual({ ended: 'answered' });
    const free = { ...broken, costNothing: true };
    expect((await after([ready, free], 2n * bound - 1n)).outcome).toEqual({ ended: 'answered' });
    expect((await after([{ type: 'no-worker' }], 2n * bound - 1n)).outcome).toEqual({ ended: 'answered' });
  });

  it('that no cap stands in the way of ends with how its last attempt did', async () => {
    const signals = [ready, failed('server-error')];
    const { refusals } = await dispatch({
      wishes: { max_cost_usd: '1' },
      workers: { a: signals, b: signals, c: signals },
    });
    expect(refusals).toMatchObject([{ code: 'backend_failed' }]);
  });

  it('with a deadline of its own is sent to who makes it, and on record is how much of it was left', async () => {
    const wishes = { deadline_ms: 3_000 };
    const asked = { wishes, seconds: { a: 4, b: 9 }, deadlineMs: NOW + 3_000, workers: { c: OK } };
    const { log, decisions } = await dispatch(asked);
    expect(log.slice(0, 4)).toEqual(['reserve c a b', 'open', 'go', 'c succeeded']);
    expect(decisions[0]).toMatchObject({ choice: 'c', policy: { deadlineSeconds: 3 }, order: ['c', 'a', 'b'] });
    expect(decisions[0]!.reason).toContain(
      'a and b would miss the deadline: expected after 4 s and 9 s of the 3 s left',
    );
    expect(decisions[0]).not.toHaveProperty('isJob');
  });

  it('with a deadline that is a job is broken off by none, so the cheapest is asked', async () => {
    const asked = { wishes: { deadline_ms: 3_000 }, seconds: { a: 4, b: 9 }, jobDeadlineMs: NOW + 3_000 };
    const { log, decisions } = await dispatch({ ...asked, workers: { a: OK } });
    expect(log[0]).toBe('reserve a b c');
    expect(decisions[0]).toMatchObject({ choice: 'a', isJob: true });
    expect(decisions[0]!.policy).not.toHaveProperty('deadlineSeconds');
    expect(decisions[0]).not.toHaveProperty('jobDeadlineAt');
  });

  it('that is a job and may be in a batch has on record until when', async () => {
    const { decisions } = await dispatch({ batchable: true, jobDeadlineMs: NOW + 3_000, workers: { a: OK } });
    expect(decisions[0]).toMatchObject({ isJob: true, jobDeadlineAt: new Date(NOW + 3_000).toISOString() });
  });

  it('tells held from exhausted, with the numbers and when to retry (pitfall 36)', async () => {
    const held = (await dispatch({ reserve: refuseWith(binding('held')) })).refusals[0]!;
    expect(held).toMatchObject({
      code: 'budget_held',
      retryAfterSeconds: 8,
      details: { budget: 'org', held_usd: '0.00000004' },
    });
    const exhausted = (await dispatch({ reserve: refuseWith(binding('exhausted')) })).refusals[0]!;
    expect(exhausted).toMatchObject({
      code: 'budget_exhausted',
      retryAfterSeconds: 14 * 3_600,
      details: { window_end: '2026-11-25T00:00:00.000Z', limit_usd: '0.000001' },
    });
    expect(exhausted.message).toBe(
      'The budget Org (2026-11-24) has no room: limit $0.000001, spent $0.00000095, held $0.00000004, needed $0.0000002; the next window starts 2026-11-25T00:00:00.000Z.',
    );
  });

  describe('that a budget of all orgs pays for beside its own (invariant 10)', () => {
    const shared = enforce({ ...budget, id: 'account-p', name: 'The account at p', selector: { provider: 'p' } });
    const budgets = [enforced, shared];
    const left = ['org', 'account-p'].map((id) => ({
      budget: id,
      window: '2026-11-24',
      basis: 'cash' as const,
      leftNanos: 7n,
    }));
    const policy = { budget: 'any', window: '2026-11-24', shadowPrice: 0.5 } as BudgetPolicy;

    it('is told what is left of its own, and at whose price it was decided of its own', async () => {
      const reserve = (command: ReserveCommand) => ({ ...grantFirst(command), left }) as ReserveReply;
      const { works, decisions } = await dispatch({ budgets, policy, reserve });
      expect(works[0]!.budgetsLeft).toMatchObject([{ budget: 'org', left_usd: '0.000000007' }]);
      // Where it is charged stays in its terms.
      expect(works[0]!.terms.windows.map((w) => w.budget)).toEqual(['org', 'account-p']);
      expect(works[0]!.reason).not.toContain('account-p');
      const [whole] = decisions;
      expect(whole!.sharedBudgets).toEqual(['account-p']);
      expect(whole!.candidates[0]!.budgets!.map((b) => b.budget)).toEqual(['org', 'account-p']);
      const told = orgsCopy(whole!);
      expect(JSON.stringify(told)).not.toContain('account-p');
      expect(told.candidates[0]!.budgets).toEqual([
        { budget: 'org', window: '2026-11-24', basis: 'cash', shadowPrice: 0.5 },
      ]);
      for (const record of [whole!, told])
        expect(replay(record)).toMatchObject({ replayable: true, same: true, decision: { order: { length: 3 } } });
      expect((await dispatch({ budgets: [enforced] })).decisions[0]).not.toHaveProperty('sharedBudgets');
    });

    it.each<[string, BindingBudget]>([
      ['budget_held', binding('held')],
      ['budget_exhausted', binding('exhausted')],
      ['budget_throttled', binding('throttled', { retryInMs: 4_200 })],
      ['budget_local_only', binding('stage', { stage: 'local-only' })],
      ['budget_rejecting', binding('stage', { stage: 'reject' })],
    ])('is refused as %s by its name and when to retry, without an amount', async (code, by) => {
      const reserve = refuseWith({ ...by, budget: 'account-p' });
      const { refusals, decisions } = await dispatch({ budgets, reserve });
      const [refusal] = refusals;
      expect(refusal).toMatchObject({
        code,
        message: expect.stringContaining('The account at p'),
        details: { budget: 'account-p', window: '2026-11-24', basis: 'cash', backends: ['a', 'b', 'c'] },
        retryAfterSeconds: expect.any(Number),
      });
      for (const told of [JSON.stringify(refusal), decisions[0]!.reason]) expect(told).not.toMatch(/[$]|_usd/);
    });
  });

  const rate: BindingAccount = {
    kind: 'rate',
    account: 'p',
    short: 'tokens',
    limitPerMinute: 900,
    asked: 30,
    retryInMs: 2_100,
  };
  it.each<[string, (BindingBudget | BindingAccount)[], string, number | undefined, RegExp]>([
    ['a throttle', [binding('throttled', { retryInMs: 4_200 })], 'budget_throttled', 5, /Org .*limit .*Retry in 5 s/],
    [
      'local only',
      [binding('stage', { stage: 'local-only' })],
      'budget_local_only',
      50_400,
      /local.*next window starts/,
    ],
    ['reject', [binding('stage', { stage: 'reject' })], 'budget_rejecting', 50_400, /nothing.*next window starts/],
    ['too many instances', [binding('instances')], 'budget_instances', 50_400, /template/],
    ["the account's rate", [rate], 'account_rate', 3, /account at p .*900 tokens a minute; 30 more fit in 3 s/],
    [
      'a request above a rate',
      [{ ...rate, asked: 901, retryInMs: undefined }],
      'account_rate',
      undefined,
      /alone has 901/,
    ],
    [
      'one candidate that passes among those that last',
      [binding('exhausted'), binding('held'), rate],
      'account_rate',
      3,
      /./,
    ],
    [
      'exhausted beside a rate that never passes',
      [{ ...rate, retryInMs: undefined }, binding('exhausted')],
      'budget_exhausted',
      50_400,
      /./,
    ],
  ])('%s is a refusal of its own, with when to retry', async (_name, bindings, code, retryAfterSeconds, message) => {
    const [refusal] = (await dispatch({ reserve: refuseWith(...bindings) })).refusals;
    expect(refusal).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(refusal!.retryAfterSeconds).toBe(retryAfterSeconds);
  });

  it('that matches more budgets than it may be charged to is refused, never charged to some of them', async () => {
    const { refusals } = await dispatch({ reserve: () => ({ type: 'too-many-budgets', backend: 'a', count: 65 }) });
    expect(refusals).toMatchObject([{ code: 'budgets_too_many', message: expect.stringContaining('65') }]);
  });

  it('a job waits for own hardware that was busier than was known here', async () => {
    const busy: AttemptSignal = { type: 'refused', code: 'busy', message: 'full' };
    const own = { tier: { id: 'own', backends: ['a'] } as TierConfig, config: { a: { kind: 'local' as const } } };
    const { refusals, works } = await dispatch({
      ...own,
      workers: { a: [busy] },
      jobDeadlineMs: NOW + 600_000,
    });
    expect(works.map((w) => w.terms.backend)).toEqual(['a']);
    expect(refusals.map((r) => r.code)).toEqual(['job_waiting']);
  });

  describe('a job that waited for its batch longer than one run may take', () => {
    const tooFew: AttemptSignal = { type: 'refused', code: 'deadline', message: 'too few' };
    const silent: AttemptSignal = { type: 'silent', firstTokenSeen: false };
    const world: World = {
      tier: { id: 'both', backends: ['a', 'b'] } as TierConfig,
      config: { a: { batch: { completionSeconds: 60, collectSeconds: 1, maxBytes: 1_000_000, pollSeconds: 1 } } },
      batchable: true,
      deadlineMs: NOW + 60_000,
      jobDeadlineMs: NOW + 600_000,
    };

    it.each([
      ['handed back', tooFew],
      ['with a worker that was lost', silent],
    ] as const)('%s is to be run again, however often; nothing was opened', async (_how, signal) => {
      const { refusals, works, log } = await dispatch({ ...world, workers: { a: [signal] }, workerMs: 60_000 });
      expect([works.map((w) => w.terms.backend), refusals.map((r) => r.code)]).toEqual([
        ['a'],
        ['backend_unavailable'],
      ]);
      expect(log).not.toContain('open');
    });

    it('goes elsewhere at once where its run has time, and is over where it has none itself', async () => {
      const soon = await dispatch({ ...world, workers: { a: [tooFew] }, workerMs: 10 });
      expect(soon.works.map((w) => w.terms.backend)).toEqual(['a', 'b']);
      const late = await dispatch({ ...world, workers: { a: [tooFew] }, workerMs: 600_000 });
      expect(late.refusals.map((r) => r.code)).toEqual(['deadline_exceeded']);
    });
  });

  it('renews its hold until its worker goes, and no longer (pitfall 31)', async () => {
    const slow: AttemptSignal = { type: 'heartbeat', attemptId: 'x', firstTokenSeen: false };
    const { log, timers } = await dispatch({ workers: { a: [slow, slow, ...OK] }, timersRun: true });
    expect(timers).toEqual([`every ${Math.ceil(limits.reservationLeaseMs / 3)}`]);
    const renew = `renew ${limits.reservationLeaseMs}`;
    const [before, after] = [log.slice(0, log.indexOf('go')), log.slice(log.indexOf('go'))];
    expect(before).toContain(renew);
    expect(after).toEqual(['go', 'a succeeded']);
  });

  describe('that only tolerant budgets pay for', () => {
    const tolerant = enforce({ ...budget, id: 'soft', strictness: 'tolerant', sliceTokens: 8 });
    const asks = (world: World) => {
      const asked: ReserveCommand[] = [];
      const reserve = (command: ReserveCommand): ReserveReply => (
        asked.push(command),
        { ...grantFirst(command), maxTokens: command.candidates[0]!.maxTokens } as ReserveReply
      );
      return dispatch({ stream: true, reserve, ...world }).then((seen) => ({
        ...seen,
        asked: asked[0]!.candidates[0]!,
      }));
    };

    it('holds the learned length, is sent with what the caller allows, and says so in its terms', async () => {
      const { asked, works } = await asks({ budgets: [tolerant] });
      expect(asked.maxTokens).toBe(30);
      expect(works[0]).toMatchObject({
        body: { max_tokens: 50 },
        terms: { governed: { heldTokens: 30, maxTokens: 50, sliceTokens: 8 }, expected: { maxTokens: 50 } },
      });
    });

    it('holds the upper bound as soon as a strict one pays too, or nobody can watch the answer', async () => {
      for (const world of [{ budgets: [tolerant, enforced] }, { budgets: [tolerant], stream: false }]) {
        const { asked, works } = await asks(world);
        expect(asked.maxTokens).toBe(50);
        expect(works[0]!.terms.governed).toBeUndefined();
      }
    });

    it('has its hold extended while it streams', async () => {
      const more: AttemptSignal = { type: 'extend', attemptId: 'x', worker: 'w', outputTokens: 40 };
      const { log } = await asks({ budgets: [tolerant], workers: { a: [ready, more, OK[1]!] } });
      expect(log.map((l) => l.split(' ')[0])).toEqual([
        'reserve',
        'open',
        'go',
        'extend',
        'recorded',
        'extend',
        'extended',
        'a',
      ]);
    });
  });

  it("asks for what is expected of it from the account's rates, and only where the account has some", async () => {
    const asked: ReserveCommand[] = [];
    const reserve = (command: ReserveCommand): ReserveReply => (asked.push(command), grantFirst(command));
    await dispatch({ reserve });
    await dispatch({ reserve, account: { tokensPerMinute: 900 } });
    expect(asked[0]!.candidates[0]!.accountRate).toBeUndefined();
    expect(asked[1]!.candidates[0]!.accountRate).toEqual({ account: 'p', tokensPerMinute: 900, tokens: 30 });
  });

  it('says what was expected, so that whoever hears of the usage can learn from it', async () => {
    const { works, decisions, sentTo } = await dispatch({});
    expect(works[0]!.terms.expected).toEqual({
      ...EXPECTATION,
      route: 'auto',
      maxTokens: 40,
      choices: 1,
      quality: 0.5,
      tags: ['chat'],
    });
    expect(works[0]!.inputTokensExpected).toBe(10);
    expect(decisions[0]!.candidates[0]).toMatchObject({
      inputTokensExpected: 10,
      cacheReadTokensExpected: 4,
      outputTokensExpected: 20,
    });
    expect(sentTo).toEqual(['a']);
  });

  it('a dearer model that may answer in place of the one asked is within the hold, and its price goes along', async () => {
    const dearer = {
      ...price,
      id: 'pv-other',
      model: 'other',
      cash: { ...price.cash, outputPicosPerToken: String(BigInt(price.cash.outputPicosPerToken) * 10n) },
    };
    const reserved: bigint[] = [];
    const reserve = (command: ReserveCommand): ReserveReply => {
      reserved.push(command.candidates[0]!.cash.perOutputTokenNanos);
      return grantFirst(command);
    };
    const alone = await dispatch({ reserve });
    const { works } = await dispatch({ reserve, otherPrices: [dearer] });
    expect(reserved[1]).toBe(reserved[0]! * 10n);
    expect(works[0]).toMatchObject({ terms: { otherPriceVersions: ['pv-other'] }, otherPrices: [{ id: 'pv-other' }] });
    expect(alone.works[0]!.otherPrices).toBeUndefined();
  });

  it('stops after four attempts', async () => {
    const lost: AttemptSignal[] = [ready, failed('server-error')];
    const { log, refusals } = await dispatch({ workers: { a: lost, b: lost, c: lost } });
    expect(log.filter((l) => l.startsWith('reserve'))).toEqual(['reserve a b c', 'reserve b c', 'reserve c']);
    expect(refusals).toMatchObject([
      { code: 'backend_failed', message: expect.stringContaining('3 candidates failed') },
    ]);
  });
});

describe('kinds', () => {
  const reading = (kind: 'embeddings' | 'messages', more: object = {}): RequestReading =>
    readRequest(kind, { ...EXAMPLES[kind].request, model: 'auto', ...more }) as RequestReading;

  it('embeddings are served by who has the kind, hold their input alone, and go up as they came', async () => {
    const asked: ReserveCommand[] = [];
    const { works, decisions } = await dispatch({
      reading: reading('embeddings'),
      config: { b: { kinds: ['embeddings'] } },
      reserve: (command) => (asked.push(command), grantFirst(command)),
    });
    expect(asked[0]!.candidates).toMatchObject([{ backend: 'b', maxTokens: 0, minTokens: 0 }]);
    expect(works).toMatchObject([{ terms: { backend: 'b', kind: 'embeddings' }, stream: false }]);
    const { metadata: _metadata, ...sent } = EXAMPLES.embeddings.request;
    expect(works[0]!.body).toEqual({ ...sent, model: 'auto' });
    expect(decisions[0]).toMatchObject({
      kind: 'embeddings',
      candidates: [{ backend: 'b' }, { backend: 'a', excluded: 'does not serve embeddings' }, { backend: 'c' }],
    });
  });

  it('a route where nobody has the kind refuses it before anything is reserved', async () => {
    const { refusals, log } = await dispatch({ reading: reading('embeddings') });
    expect(refusals).toMatchObject([{ code: 'kind_unsupported', message: expect.stringContaining('"auto"') }]);
    expect(log).toEqual([]);
  });

  it('messages are clamped by the grant and reach the worker in their own dialect', async () => {
    const { works } = await dispatch({ reading: reading('messages', { stream: true }) });
    expect(works[0]).toMatchObject({
      terms: { kind: 'messages' },
      stream: true,
      body: { max_tokens: 40, system: EXAMPLES.messages.request.system, metadata: { user_id: 'u-2041' } },
    });
    expect(works[0]!.body).not.toHaveProperty('meritorder');
  });

  it('what a translation cannot say goes to a backend that is passed it, and is refused where there is none', async () => {
    const thinking = reading('messages', { max_tokens: 90, thinking: { type: 'enabled', budget_tokens: 60 } });
    const native = { c: { protocol: 'anthropic' } as unknown as Partial<BackendConfig> };
    const grantAll = (command: ReserveCommand) => ({ ...grantFirst(command), maxTokens: 90 }) as ReserveReply;
    const { works } = await dispatch({ reading: thinking, config: native, reserve: grantAll });
    expect(works).toMatchObject([{ terms: { backend: 'c' }, body: { thinking: { budget_tokens: 60 } } }]);
    const { refusals } = await dispatch({ reading: thinking });
    expect(refusals).toMatchObject([
      { code: 'no_able_backend', message: expect.stringContaining('cannot say thinking that is shown (thinking)') },
    ]);
  });

  const chatWith = (more: object): RequestReading =>
    readRequest('chat', { ...EXAMPLES.request, model: 'auto', ...more }) as RequestReading;
  const [gemini, bedrock] = [{ protocol: 'gemini' as const }, { protocol: 'bedrock' as const }];

  it('what a protocol cannot say of a chat completion goes to a backend that can, and the record has the reason', async () => {
    const config = { a: bedrock, b: gemini, c: bedrock };
    const { works, decisions } = await dispatch({ reading: chatWith({ seed: 5 }), config });
    expect(works).toMatchObject([{ terms: { backend: 'b' }, body: { seed: 5 } }]);
    const excluded = { excluded: 'speaks bedrock, which cannot say "seed" (seed)' };
    expect(decisions[0]!.candidates).toEqual(
      expect.arrayContaining(['a', 'c'].map((id) => expect.objectContaining({ backend: id, ...excluded }))),
    );
  });

  it('the record has how many choices were asked for, and whether they stream', async () => {
    const { decisions: one } = await dispatch({ reading: chatWith({}) });
    expect(one[0]).toMatchObject({ streams: false });
    expect(one[0]).not.toHaveProperty('choices');
    const { decisions: two } = await dispatch({ reading: chatWith({ n: 2, stream: true }) });
    expect(two[0]).toMatchObject({ choices: 2, streams: true });
  });

  it('messages that are sent as a chat completion meet the same limits', async () => {
    const message = {
      role: 'user',
      content: [{ type: 'image', source: { type: 'url', url: 'https://x.test/a.png' } }],
    };
    const reading = readRequest('messages', {
      ...EXAMPLES.messages.request,
      model: 'auto',
      messages: [message],
    }) as RequestReading;
    const { refusals } = await dispatch({ reading, config: { a: gemini, b: bedrock, c: gemini } });
    expect(refusals).toMatchObject([
      {
        code: 'no_able_backend',
        message: expect.stringContaining('speaks gemini, which cannot say an image by its address'),
      },
    ]);
  });

  it('what one model alone cannot be told is asked of the next backend, and counts against nobody', async () => {
    const unsaid: AttemptSignal[] = [ready, failed('caller-fault')];
    const { works, refusals, log } = await dispatch({ workers: { a: unsaid } });
    expect(works.map(({ terms }) => terms.backend)).toEqual(['a', 'b']);
    expect(refusals).toEqual([]);
    expect(log.filter((l) => /^(failed|quota)/.test(l))).toEqual([]);
  });

  it('what no model can be told ends as the fault of the caller, whatever retries are left', async () => {
    const unsaid: AttemptSignal[] = [ready, failed('caller-fault')];
    const { works, refusals } = await dispatch({ workers: { a: unsaid, b: unsaid, c: unsaid }, retries: false });
    expect(works.map(({ terms }) => terms.backend)).toEqual(['a', 'b', 'c']);
    expect(refusals).toMatchObject([{ code: 'upstream_rejected' }]);
  });
});

describe('under margin', () => {
  const tier = TierConfig.parse({ id: 'pro', objective: 'margin', revenueUsd: '500' });
  const policyOf = async (revenue?: ExpectedRevenue) =>
    (await dispatch({ tier, ...(revenue && { revenue }) })).decisions[0]?.policy;

  it('what was learned of a conversion counts, also where it is nothing', async () => {
    expect(await policyOf()).toMatchObject({ revenueUsd: 500, revenue: { from: 'configured' } });
    expect(await policyOf({ usd: 0, from: 'learned' })).toMatchObject({
      revenueUsd: 0,
      revenue: { expectedUsd: 0, from: 'learned', configuredUsd: 500 },
    });
  });
});
