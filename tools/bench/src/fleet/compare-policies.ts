import type { Workload } from '@meritorder/simulation-core';
import { interval95, type Interval } from '../pacing/interval.js';
import { percentile } from '../replay/percentile.js';
import { BASELINES, meritOrder } from './policies.js';
import { fleetConfig, LATE_PRICES, routeOf, TARGET_SECONDS, type LatePrice } from './setting.js';
import { runFleet, type Dispatched, type FleetPolicy } from './simulated-fleet.js';

export interface FleetOfRouters {
  routers: number;
  /** Between two reports of a backend; 0: routers see everything as it is. */
  heartbeatMs: number;
  seeds: number;
  firstSeed: number;
}

/** One policy over a trace; intervals are over the draws of routers, heartbeats and replicas, for there is one trace. */
export interface PolicyFigures {
  policy: string;
  usdPerSecondLate: string | null;
  /** What it added: cash, and energy of own hardware. */
  costUsd: Interval;
  /** Seconds beyond the target, of all requests together. */
  lateSeconds: Interval;
  p50Seconds: Interval;
  p95Seconds: Interval;
  p99Seconds: Interval;
  cloudShare: Interval;
  /** Dispatches to a replica that was full by then. */
  refusals: Interval;
}

const TWO_REPLICAS_AND_CLOUD = fleetConfig({ replicas: 2, cloud: true });

export function runsOf(
  policy: FleetPolicy,
  price: LatePrice,
  workload: Workload,
  fleet: FleetOfRouters,
): Dispatched[][] {
  const { routers, heartbeatMs, seeds, firstSeed } = fleet;
  const setting = { config: TWO_REPLICAS_AND_CLOUD, route: routeOf(price), workload, routers, heartbeatMs };
  return Array.from({ length: seeds }, (_, i) => runFleet({ ...setting, seed: firstSeed + i }, policy));
}

export function figuresOf(
  policy: FleetPolicy,
  price: LatePrice,
  workload: Workload,
  fleet: FleetOfRouters,
): PolicyFigures {
  const runs = runsOf(policy, price, workload, fleet);
  const over = (of: (run: readonly Dispatched[]) => number): Interval => interval95(runs.map(of));
  const sum = (run: readonly Dispatched[], of: (d: Dispatched) => number): number =>
    run.reduce((total, d) => total + of(d), 0);
  const at = (p: number): Interval =>
    over((run) =>
      percentile(
        run.map((d) => d.seconds),
        p,
      ),
    );
  return {
    policy: policy.name,
    usdPerSecondLate: price ?? null,
    costUsd: over((run) => sum(run, (d) => d.addedUsd)),
    lateSeconds: over((run) => sum(run, (d) => Math.max(0, d.seconds - TARGET_SECONDS))),
    p50Seconds: at(50),
    p95Seconds: at(95),
    p99Seconds: at(99),
    cloudShare: over((run) => sum(run, (d) => (d.local ? 0 : 1)) / run.length),
    refusals: over((run) => sum(run, (d) => d.refusals)),
  };
}

export function comparePolicies(workload: Workload, fleet: FleetOfRouters): PolicyFigures[] {
  return [
    ...LATE_PRICES.map((price) => figuresOf(meritOrder, price, workload, fleet)),
    ...BASELINES.map((policy) => figuresOf(policy, undefined, workload, fleet)),
  ];
}

/** Of the rows of the router that cost no more than a baseline, the one with the lowest p95. */
export interface AtNoMoreCost {
  baseline: string;
  costUsd: number;
  p95Seconds: number;
  /** Undefined: none costs as little. */
  meritOrder?: { usdPerSecondLate: string | null; costUsd: number; p95Seconds: number };
}

export function atNoMoreCost(all: readonly PolicyFigures[]): AtNoMoreCost[] {
  const ours = all.filter((f) => f.policy === meritOrder.name);
  return all
    .filter((f) => f.policy !== meritOrder.name)
    .map(({ policy, costUsd, p95Seconds }) => {
      const [best] = ours
        .filter((f) => f.costUsd.mean <= costUsd.mean)
        .toSorted((a, b) => a.p95Seconds.mean - b.p95Seconds.mean);
      return {
        baseline: policy,
        costUsd: costUsd.mean,
        p95Seconds: p95Seconds.mean,
        ...(best
          ? {
              meritOrder: {
                usdPerSecondLate: best.usdPerSecondLate,
                costUsd: best.costUsd.mean,
                p95Seconds: best.p95Seconds.mean,
              },
            }
          : {}),
      };
    });
}

/** Cost and lateness at a price, as one sum: what the score is to keep low. */
export interface Total {
  usdPerSecondLate: string;
  /** Of the route with that price. */
  meritOrderUsd: number;
  baselines: { policy: string; totalUsd: number }[];
}

export function totalsOf(all: readonly PolicyFigures[]): Total[] {
  const total = ({ costUsd, lateSeconds }: PolicyFigures, price: string): number =>
    costUsd.mean + Number(price) * lateSeconds.mean;
  return all.flatMap((ours) => {
    const price = ours.usdPerSecondLate;
    if (price === null) return [];
    const baselines = all
      .filter((f) => f.policy !== meritOrder.name)
      .map((f) => ({ policy: f.policy, totalUsd: total(f, price) }));
    return [{ usdPerSecondLate: price, meritOrderUsd: total(ours, price), baselines }];
  });
}
