import type { Workload } from '@meritorder/simulation-core';
import { interval95, type Interval } from '../pacing/interval.js';
import { percentile } from '../replay/percentile.js';
import { inFlight, least } from './policies.js';
import { fleetConfig, routeOf } from './setting.js';
import { runFleet, type Asked, type Dispatched, type FleetPolicy } from './simulated-fleet.js';

export interface HerdingSetting {
  replicas: number;
  routers: number;
  heartbeatMs: number;
  /** By seed. */
  workload(seed: number): Workload;
  seeds: number;
}

export interface Herding {
  policy: string;
  routers: number;
  /** Requests that the busiest replica was sent between two reports, over an equal share: the mean of all such times. */
  pileUp: Interval;
  p50Seconds: Interval;
  p95Seconds: Interval;
  p99Seconds: Interval;
}

function twoOf({ own, draws }: Asked, load: (index: number) => number): number {
  const first = Math.floor(draws.replica * own.length);
  const second = (first + 1 + Math.floor(draws.explore * (own.length - 1))) % own.length;
  return load(own[second]!) < load(own[first]!) ? own[second]! : own[first]!;
}

const leastOf = ({ own, draws }: Asked, load: (index: number) => number): number => least(own, load, draws.replica);

/** Among replicas alone. All let requests wait, so that a pile-up is seen as what it is: a wait. */
export const HERDING_POLICIES: readonly FleetPolicy[] = [
  {
    name: 'the router: two choices, own requests counted',
    order: (asked) => {
      const { router, own, inputTokens, estimate, draws, nowMs } = asked;
      const order = router.order(own, inputTokens, estimate, draws, nowMs);
      // Where every replica was full when last heard of, a router has nobody to ask; here one of them queues it.
      return order.length > 0 ? order : [twoOf(asked, (i) => inFlight(router.load(i)))];
    },
    queues: true,
  },
  {
    name: 'two choices of last reports',
    order: (asked) => [twoOf(asked, (i) => inFlight(asked.router.lastReport(i)))],
    queues: true,
  },
  {
    name: 'least loaded, own requests counted',
    order: (asked) => [leastOf(asked, (i) => inFlight(asked.router.load(i)))],
    queues: true,
  },
  {
    name: 'least loaded of last reports',
    order: (asked) => [leastOf(asked, (i) => inFlight(asked.router.lastReport(i)))],
    queues: true,
  },
  { name: 'at random', order: ({ own, draws }) => [own[Math.floor(draws.replica * own.length)]!], queues: true },
];

export function herding(policy: FleetPolicy, setting: HerdingSetting, firstSeed: number): Herding {
  const { replicas, routers, heartbeatMs, seeds } = setting;
  const config = fleetConfig({ replicas, cloud: false });
  const runs = Array.from({ length: seeds }, (_, i) => {
    const seed = firstSeed + i;
    const workload = setting.workload(seed);
    return runFleet({ config, route: routeOf(undefined), workload, routers, heartbeatMs, seed }, policy);
  });
  const at = (p: number): Interval =>
    interval95(
      runs.map((run) =>
        percentile(
          run.map((d) => d.seconds),
          p,
        ),
      ),
    );
  return {
    policy: policy.name,
    routers,
    pileUp: interval95(runs.map((run) => pileUpOf(run, replicas, heartbeatMs || 1_000))),
    p50Seconds: at(50),
    p95Seconds: at(95),
    p99Seconds: at(99),
  };
}

/** Times in which fewer came than there are replicas say nothing. */
function pileUpOf(run: readonly Dispatched[], replicas: number, windowMs: number): number {
  const windows = new Map<number, number[]>();
  for (const { atMs, backend } of run) {
    const window = Math.floor(atMs / windowMs);
    const counts = windows.get(window) ?? Array.from({ length: replicas }, () => 0);
    windows.set(window, counts);
    counts[backend]! += 1;
  }
  const ratios = [...windows.values()].flatMap((counts) => {
    const all = counts.reduce((a, b) => a + b, 0);
    return all < replicas ? [] : [Math.max(...counts) / (all / replicas)];
  });
  return ratios.reduce((a, b) => a + b, 0) / ratios.length;
}
