import { parseConfig, type MeritorderConfig } from '@meritorder/contracts';
import { emptyWorkload, type Workload } from './workload/workload.js';

/** A Tuesday, midnight UTC. */
export const FROM_MS = Date.parse('2026-09-01T00:00:00Z');

/** Two cloud backends with written prices and whatever else a test says. */
export function config(rest = ''): MeritorderConfig {
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
${rest}`,
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
