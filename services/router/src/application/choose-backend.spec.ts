import { MeritorderConfig } from '@meritorder/contracts';
import { homesOf } from '@meritorder/fleet-core';
import { policyFor, type Able } from '@meritorder/routing-core';
import { expect, it } from 'vitest';
import { budgetPath } from './budget-path.js';
import { chooseBackend } from './choose-backend.js';
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
  const idle = { inFlight: 0, capacity: 10, waitingInEngine: 0, kvCacheShare: 0 };
  const choice = chooseBackend(
    able,
    {
      pathOf: () => budgetPath([], () => undefined),
      loads: {
        numbers: () => ({ gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0 }),
        latencySeconds: (backend) => (backend.id === home ? 2 : 1),
        askAgainInSeconds: () => 7,
        hedgeAfterSeconds: () => 1,
        load: (backend) => ({ ...idle, ...(backend.id === home ? atHome : atOther) }),
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
  return choice.order[0]!.candidate.backend.id;
}

it('a prompt goes to the home of its prefix until that engine queues or its cache is full, and of full ones to the faster', () => {
  expect(askedFirst({})).toBe(home);
  expect(askedFirst({ waitingInEngine: 4, kvCacheShare: 0.79 })).toBe(home);
  expect(askedFirst({ waitingInEngine: 5 })).toBe(other);
  expect(askedFirst({ kvCacheShare: 0.8 })).toBe(other);
  expect(askedFirst({ kvCacheShare: 0.9 }, { kvCacheShare: 0.9 })).toBe(other);
});
