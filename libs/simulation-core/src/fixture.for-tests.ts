import { parseConfig, type DecisionPolicy, type MeritorderConfig } from '@meritorder/contracts';
import { DEFAULT_EXPLORATION } from '@meritorder/routing-core';
import { emptyWorkload, type Workload } from './workload/workload.js';

/** A Tuesday, midnight UTC. */
export const FROM_MS = Date.parse('2026-09-01T00:00:00Z');

/** Two cloud backends with written prices and whatever else a test says. */
export function config(rest = '', own = ''): MeritorderConfig {
  return parseConfig(
    `
version: 1
orgs: [{ id: acme, departments: [support, sales] }]
backends:
  - { id: dear, kind: cloud, provider: p, model: d, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000,
      quality: { prior: 0.9 }, maxConcurrency: 1000,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "10", outputUsdPerMillionTokens: "40" } }] }
  - { id: plain, kind: cloud, provider: q, model: c, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000,
      quality: { prior: 0.7 }, maxConcurrency: 1000,
      prices: [{ effectiveFrom: 2026-01-01T00:00:00Z, source: test, cash: { inputUsdPerMillionTokens: "1", outputUsdPerMillionTokens: "4" } }] }
${own}${rest}`,
    'test.yaml',
    {},
  );
}

/** Requests at these seconds from the beginning, all alike. */
export function requestsAt(
  seconds: readonly number[],
  { inputTokens = 1_000, outputTokens = 100, route = 'any' as string | undefined } = {},
): Workload {
  const workload = { ...emptyWorkload(seconds.length), profiles: [{ route, attributes: {} }] };
  workload.atMs.set(seconds.map((s) => FROM_MS + s * 1_000));
  workload.inputTokens.fill(inputTokens);
  workload.outputTokens.fill(outputTokens);
  return workload;
}

export const nothingListed = (): [] => [];

/** And own hardware of 16 slots: good enough, and slow. */
export function withOwn(rest = ''): MeritorderConfig {
  return config(
    `hosts: [{ id: gpu-1, gpus: 1, rented: { usdPerGpuHour: "2.5" }, power: { idleWattsPerGpu: 90, loadWattsPerGpu: 700, pue: 1.2, usdPerKilowattHour: "0.20" } }]\n${rest}`,
    `  - { id: own, kind: local, provider: acme, host: gpu-1, model: o, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 100000, maxOutputTokens: 1000,
      quality: { prior: 0.75 }, maxConcurrency: 16,
      throughput: { gpus: 1, prefillTokensPerSecond: 10000, decodeTokensPerSecond: [{ batch: 1, tokensPerSecond: 50 }, { batch: 16, tokensPerSecond: 500 }], batch: 16 } }\n`,
  );
}

/** Of a route that says nothing. */
export const POLICY: DecisionPolicy = {
  objective: 'cheapest',
  tier: null,
  usdPerQuality: 0,
  revenueUsd: 0,
  leastQuality: 0,
  maxCostUsd: null,
  usdPerSecondLate: 0,
  leastMarginShare: null,
  exploration: { ...DEFAULT_EXPLORATION },
};
