import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { logNormalSample, simulate, type Workload } from '@meritorder/simulation-core';
import { cloudShareByLoad, cloudShareInUse, fullReplicaPerSecond } from './cloud-share.js';
import { comparePolicies, figuresOf, totalsOf } from './compare-policies.js';
import { herding, HERDING_POLICIES } from './herding.js';
import { BASELINES, meritOrder } from './policies.js';
import { fleetConfig, routeOf } from './setting.js';
import { runFleet, type FleetPolicy } from './simulated-fleet.js';
import { FROM_MS, poissonOf, traceWorkload } from './trace-workload.js';

const data = process.env['MERITORDER_TEST_DATA'];
if (!data && process.env['CI'] === 'true') throw new Error('CI needs MERITORDER_TEST_DATA');

/** Code completion: long questions, short answers. */
const SAMPLE = logNormalSample({ inputTokens: 2_000, outputTokens: 30 }, 7, 2_000);
const FULL = 2 * fullReplicaPerSecond(SAMPLE);
const FLEET = { routers: 4, heartbeatMs: 1_000, seeds: 2, firstSeed: 1 };
const CONFIG = fleetConfig({ replicas: 2, cloud: true });
const named = (of: readonly FleetPolicy[], name: string): FleetPolicy => of.find((p) => p.name === name)!;

/** A minute of nearly nothing and ten seconds of four times what own hardware can do, and again. */
function bursts(): Workload {
  const calm = poissonOf(SAMPLE, 0.05 * FULL, 30, 3);
  const burst = poissonOf(SAMPLE, 4 * FULL, 400, 4);
  const parts = [calm, burst, calm, burst];
  let fromMs = FROM_MS;
  const atMs: number[] = [];
  for (const part of parts) {
    for (const at of part.atMs) atMs.push(fromMs + at - FROM_MS);
    fromMs = atMs.at(-1)! + 1_000;
  }
  const lengths = (of: (w: Workload) => Int32Array): Int32Array => Int32Array.from(parts.flatMap((p) => [...of(p)]));
  return {
    ...calm,
    atMs: Float64Array.from(atMs),
    inputTokens: lengths((w) => w.inputTokens),
    outputTokens: lengths((w) => w.outputTokens),
    profile: new Int32Array(atMs.length),
  };
}

describe('one router that sees everything', () => {
  it.each([undefined, '0.001'] as const)(
    'chooses, request by request, what the simulator chooses, and answers as fast: late at %s',
    (price) => {
      const workload = bursts();
      const route = routeOf(price);
      const chosen: string[] = [];
      const outcome = simulate(
        CONFIG,
        workload,
        {
          seed: 5,
          route,
          onDecision: (i, _candidates, _draws, { order }) => void (chosen[i] = order[0]!.candidate.id),
        },
        () => [],
      );
      const run = runFleet({ config: CONFIG, route, workload, routers: 1, heartbeatMs: 0, seed: 5 }, meritOrder);
      const ids = CONFIG.routes[0]!.backends;
      expect(run.map((d) => ids[d.backend])).toEqual(chosen);
      expect(new Set(chosen).size).toBe(3);
      const seconds = run.map((d) => d.seconds).toSorted((a, b) => a - b);
      expect(seconds[Math.ceil(0.95 * seconds.length) - 1]).toBeCloseTo(outcome.latencySeconds!.p95, 6);
      const cloudUsd = run.filter((d) => !d.local).reduce((sum, d) => sum + d.addedUsd, 0);
      expect(cloudUsd).toBeCloseTo(Number(outcome.cashNanos) / 1e9, 6);
    },
  );
});

describe('a fleet', () => {
  it('is the same for the same seed, and answers every request under every policy', () => {
    const workload = bursts();
    for (const policy of [meritOrder, ...BASELINES]) {
      const run = () =>
        runFleet(
          { config: CONFIG, route: routeOf(undefined), workload, routers: 3, heartbeatMs: 700, seed: 2 },
          policy,
        );
      const first = run();
      expect(first).toHaveLength(workload.atMs.length);
      expect(first.every((d) => d.seconds > 0 && d.addedUsd > 0)).toBe(true);
      expect(run()).toEqual(first);
    }
  });

  it('costs less than cloud alone, is far faster than own hardware alone, and keeps cost and lateness below any of them', () => {
    const figures = comparePolicies(bursts(), FLEET);
    const of = (policy: string) => figures.find((f) => f.policy === policy)!;
    const plain = figures.find((f) => f.usdPerSecondLate === null)!;
    expect(plain.costUsd.mean).toBeLessThan(of('always cloud').costUsd.mean);
    expect(plain.p95Seconds.mean).toBeLessThan(of('always local').p95Seconds.mean / 2);
    const total = totalsOf(figures).find((t) => t.usdPerSecondLate === '0.001')!;
    for (const { totalUsd } of total.baselines) expect(total.meritOrderUsd).toBeLessThan(totalUsd);
  });

  it('pays more and answers sooner the more a late second costs', () => {
    const workload = poissonOf(SAMPLE, 0.9 * FULL, 1_500, 1);
    const [cheap, dear] = (['0.0001', '0.003'] as const).map((price) => figuresOf(meritOrder, price, workload, FLEET));
    expect(dear!.costUsd.low).toBeGreaterThan(cheap!.costUsd.high);
    expect(dear!.p95Seconds.high).toBeLessThan(cheap!.p95Seconds.low);
  });
});

describe('local', () => {
  it('wins when idle and loses when full, with no rule that says so', () => {
    const shares = cloudShareByLoad(undefined, SAMPLE, 1_000, FLEET).map(({ figures }) => figures.cloudShare.mean);
    expect(shares[0]).toBe(0);
    expect(shares.at(-1)).toBeGreaterThan(0.5);
    for (const [i, share] of shares.entries()) expect(share).toBeGreaterThanOrEqual((shares[i - 1] ?? 0) - 0.01);
  });

  it('wins again when the burst is over', () => {
    const workload = bursts();
    const run = runFleet({ config: CONFIG, route: routeOf(undefined), workload, ...FLEET, seed: 1 }, meritOrder);
    const share = (from: number, to: number): number =>
      run.slice(from, to).filter((d) => !d.local).length / (to - from);
    expect(share(0, 30)).toBe(0);
    expect(share(30, 430)).toBeGreaterThan(0.4);
    // Its first few come while the burst is still worked on.
    expect(share(450, 460)).toBe(0);
    expect(share(460, 860)).toBeGreaterThan(0.4);
    const inUse = cloudShareInUse(undefined, workload, FLEET).filter((s) => s.requests >= 30);
    expect(inUse[0]!.cloudShare).toBe(0);
    expect(inUse.at(-1)!.cloudShare).toBeGreaterThan(0.3);
  });
});

describe('several routers with stale heartbeats', () => {
  const setting = {
    replicas: 8,
    routers: 8,
    heartbeatMs: 1_000,
    seeds: 2,
    workload: (seed: number) => poissonOf(SAMPLE, 3 * FULL, 1_500, seed),
  };
  const of = (name: string) => herding(named(HERDING_POLICIES, name), setting, 1);

  it('do not stampede: by two choices the busiest replica gets little more than by chance, by least loaded most of all', () => {
    const [router, least, random] = [
      'the router: two choices, own requests counted',
      'least loaded of last reports',
      'at random',
    ].map(of);
    expect(router!.pileUp.mean).toBeLessThan(1.3 * random!.pileUp.mean);
    expect(least!.pileUp.mean).toBeGreaterThan(2 * router!.pileUp.mean);
    expect(router!.p95Seconds.mean).toBeLessThan(random!.p95Seconds.mean);
    expect(router!.p95Seconds.mean).toBeLessThan(least!.p95Seconds.mean);
  });
});

describe.skipIf(!data)('the trace (needs MERITORDER_TEST_DATA)', () => {
  it('costs a fraction of the cloud, at a fraction of the p95 of own hardware alone, and beats round robin in both', () => {
    const trace = traceWorkload(join(data!, 'traces', 'azure-code-2023.csv'));
    const once = { ...FLEET, seeds: 1 };
    const ours = figuresOf(meritOrder, '0.0003', trace, once);
    const [local, cloud, roundRobin] = ['always local', 'always cloud', 'round robin'].map((name) =>
      figuresOf(named(BASELINES, name), undefined, trace, once),
    );
    expect(ours.costUsd.mean).toBeLessThan(cloud!.costUsd.mean / 2);
    expect(ours.p95Seconds.mean).toBeLessThan(local!.p95Seconds.mean / 2);
    expect(ours.costUsd.mean).toBeLessThan(roundRobin!.costUsd.mean);
    expect(ours.p95Seconds.mean).toBeLessThan(roundRobin!.p95Seconds.mean);
  });
});
