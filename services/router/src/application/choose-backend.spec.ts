import type { EnforcedWindow } from '@meritorder/budget-core';
import { MeritorderConfig, type Basis } from '@meritorder/contracts';
import { homesOf } from '@meritorder/fleet-core';
import { policyFor, type Able } from '@meritorder/routing-core';
import { describe, expect, it } from 'vitest';
import { budgetPath, type BudgetPath } from './budget-path.js';
import { bestNow, chooseBackend, type Choice } from './choose-backend.js';
import type { ReplicaLoad } from './ports.js';

const { backends } = MeritorderConfig.parse({
  version: 1,
  orgs: [{ id: 'acme' }],
  backends: ['a', 'b'].map((id) => ({
    id,
    kind: 'local',
    host: 'gpu-1',
    provider: 'gpus',
    model: 'llama',
    baseUrl: 'http://127.0.0.1:1',
    contextTokens: 1_000,
    maxOutputTokens: 500,
  })),
});
const able = backends.map((backend) => ({
  backend,
  maxTokens: 100,
  estimate: { inputTokensExpected: 10, cacheReadTokensExpected: 0, outputTokensExpected: 100 },
  expectedCashUsd: 0,
  expectedFullUsd: 0,
  expectedMarginalUsd: 0,
})) as unknown as Able[];
const [home, other] = homesOf('prefix', ['a', 'b']).map((i) => backends[i]!.id);

/** @param atHome how the home of the prefix differs from an idle replica */
function askedFirst(atHome: Partial<ReplicaLoad>, atOther: Partial<ReplicaLoad> = {}): string {
  const choice = choose(able, NO_BUDGETS, (id) => (id === home ? atHome : atOther));
  return choice.order[0]!.candidate.backend.id;
}

const NO_BUDGETS = budgetPath([], () => undefined);

/** @param loadOf how a replica differs from an idle one */
function choose(
  of: readonly Able[],
  path: BudgetPath,
  loadOf: (backend: string) => Partial<ReplicaLoad> = () => ({}),
  /** Seconds of the home of the prefix, where another takes one: as full as it is slower than that, and when idle. */
  atHome = { now: 2, idle: 1 },
  usdPerGpuSecond: (backend: string) => number = () => 0,
): Choice {
  const idle = { inFlight: 0, capacity: 10, waitingInEngine: 0, kvCacheShare: 0 };
  return chooseBackend(
    of,
    {
      pathOf: () => path,
      loads: {
        numbers: ({ id }, _tokens, _wish, _nowMs, isIdle) => ({
          gpuSeconds: 1,
          usdPerGpuSecond: isIdle ? 0 : usdPerGpuSecond(id),
          lateSeconds: 0,
        }),
        latencySeconds: (backend, _tokens, _nowMs, isIdle) =>
          backend.id === home ? atHome[isIdle ? 'idle' : 'now'] : 1,
        askAgainInSeconds: () => 7,
        hedgeAfterSeconds: () => 1,
        load: (backend) => ({ ...idle, ...loadOf(backend.id) }),
      },
      quality: {
        tags: [],
        promptFeatures: '',
        of: () => ({ quality: 0.5, qualityVariance: 0, priorQuality: 0.5, outcomes: 0 }),
      },
      conversions: undefined,
      tier: undefined,
      policy: policyFor({ route: undefined, tier: undefined, wishes: undefined }),
      prefix: 'prefix',
      deadlineSeconds: 60,
      choices: 1,
      nowMs: 0,
    },
    { holdOut: 0.5, explore: 0.5, replica: 0.5 },
  );
}

it('a prompt goes to the home of its prefix until that engine queues or its cache is full, and of full ones to the faster', () => {
  expect(askedFirst({})).toBe(home);
  expect(askedFirst({ waitingInEngine: 4, kvCacheShare: 0.79 })).toBe(home);
  expect(askedFirst({ waitingInEngine: 5 })).toBe(other);
  expect(askedFirst({ kvCacheShare: 0.8 })).toBe(other);
  expect(askedFirst({ kvCacheShare: 0.9 }, { kvCacheShare: 0.9 })).toBe(other);
});

it('a home that is slower even when idle is no home, and the decision says how its replica was found', () => {
  const slow = choose(able, NO_BUDGETS, undefined, { now: 40, idle: 40 });
  expect(slow.order[0]!.candidate.backend.id).toBe(other);
  expect(slow.order.map((w) => [w.numbers.replicaBy, w.numbers.replicaChance])).toEqual([
    ['prefix', 1],
    ['prefix', 0],
  ]);
  const full = { waitingInEngine: 5 };
  const crowded = choose(able, NO_BUDGETS, () => full, { now: 40, idle: 40 });
  expect(crowded.order.map((w) => [w.candidate.backend.id, w.numbers.replicaBy])).toEqual([
    [other, 'only'],
    [home, 'only'],
  ]);
});

it('what a job could have now is its best score, whoever is asked first: it need not wait for what is there', () => {
  const choice = choose(able, NO_BUDGETS, undefined, undefined, (id) => (id === home ? 0.01 : 0));
  expect(choice.order[0]!.candidate.backend.id).toBe(home);
  expect(bestNow(choice.decision)!.candidate.id).toBe(other);
});

describe('a budget with nothing to spare', () => {
  /** Costs as expected and as bound, USD. */
  const costs = { small: { cash: 0.0001, full: 0.0001 }, own: { cash: 0, full: 0.0003 } };
  const candidates = Object.entries(costs).map(([id, usd]) => ({
    ...able[0]!,
    backend: { ...backends[0]!, id, kind: 'cloud' },
    expectedCashUsd: usd.cash,
    expectedFullUsd: usd.full,
    expectedMarginalUsd: usd.cash,
    boundExceeds: (basis: Basis, { float }: { float: number }) => usd[basis] * 1e9 > float,
  })) as unknown as Able[];
  const spent = (basis: Basis): BudgetPath =>
    budgetPath([{ charge: { budget: 'day', window: 'today', basis } } as EnforcedWindow], () => ({
      budget: 'day',
      window: 'today',
      shadowPrice: 0,
      spareRoomNanos: '0',
      stage: 'tighten',
      reason: '',
      pinned: false,
      paused: false,
      changedAt: '2026-11-24T00:00:00.000Z',
    }));
  const order = (basis: Basis): string[] => choose(candidates, spent(basis)).order.map((w) => w.candidate.backend.id);

  it('of cash keeps the rest for what costs no cash', () => {
    expect(order('cash')).toEqual(['own', 'small']);
  });

  it('of full cost keeps it for what costs least in full, whatever is cheaper in cash', () => {
    expect(order('full')).toEqual(['small', 'own']);
    const [small, own] = choose(candidates, spent('full')).weighed.map((w) => w.numbers.beyondRoom);
    expect([small, own]).toEqual([undefined, true]);
  });
});
