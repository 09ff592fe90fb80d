import type { Workload } from '@meritorder/simulation-core';
import {
  cloudShareByLoad,
  cloudShareInUse,
  fullReplicaPerSecond,
  type ShareByLoad,
  type ShareInUse,
} from './cloud-share.js';
import {
  atNoMoreCost,
  totalsOf,
  type Total,
  comparePolicies,
  type AtNoMoreCost,
  type FleetOfRouters,
  type PolicyFigures,
} from './compare-policies.js';
import { herding, HERDING_POLICIES, type Herding } from './herding.js';
import type { LatePrice } from './setting.js';
import { faster, poissonOf } from './trace-workload.js';

const [REPLICAS, HERDING_LOAD, ROUTERS, REQUESTS] = [8, 0.75, [1, 4, 16], 20_000];

export interface TraceReport {
  speeds: { speed: number; policies: PolicyFigures[]; atNoMoreCost: AtNoMoreCost[]; totals: Total[] }[];
}

const dollars = (usd: number): string => `$${usd.toFixed(3)}`;
const seconds = (s: number): string => s.toFixed(2);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export function reportTrace(trace: Workload, speeds: readonly number[], fleet: FleetOfRouters): TraceReport {
  return {
    speeds: speeds.map((speed) => {
      const policies = comparePolicies(faster(trace, speed), fleet);
      console.log(
        `the trace at ${speed} x its speed, 2 replicas and cloud; ${fleet.routers} routers, heartbeats of ${fleet.heartbeatMs} ms; means of ${fleet.seeds} seeds`,
      );
      console.table(policies.map(shown));
      const least = atNoMoreCost(policies);
      console.table(
        least.map((l) => ({
          baseline: `${l.baseline}: ${dollars(l.costUsd)}, p95 ${seconds(l.p95Seconds)} s`,
          'merit order at no more cost': l.meritOrder
            ? `${dollars(l.meritOrder.costUsd)}, p95 ${seconds(l.meritOrder.p95Seconds)} s`
            : 'none',
        })),
      );
      const totals = totalsOf(policies);
      console.log('cost + lateness at its price');
      console.table(
        totals.map(({ usdPerSecondLate, meritOrderUsd, baselines }) => ({
          'late at': `$${usdPerSecondLate}/s`,
          'merit order': dollars(meritOrderUsd),
          ...Object.fromEntries(baselines.map(({ policy, totalUsd }) => [policy, dollars(totalUsd)])),
        })),
      );
      return { speed, policies, atNoMoreCost: least, totals };
    }),
  };
}

function shown(f: PolicyFigures) {
  return {
    policy: f.policy + (f.usdPerSecondLate === null ? '' : `, late at $${f.usdPerSecondLate}/s`),
    'cost (95 %)': `${dollars(f.costUsd.mean)} [${f.costUsd.low.toFixed(3)}, ${f.costUsd.high.toFixed(3)}]`,
    'p50, s': seconds(f.p50Seconds.mean),
    'p95, s (95 %)': `${seconds(f.p95Seconds.mean)} [${seconds(f.p95Seconds.low)}, ${seconds(f.p95Seconds.high)}]`,
    'p99, s': seconds(f.p99Seconds.mean),
    'late, s': f.lateSeconds.mean.toFixed(0),
    'to the cloud': percent(f.cloudShare.mean),
    'found full': f.refusals.mean.toFixed(0),
  };
}

export interface LoadReport {
  usdPerSecondLate: string | null;
  inUse: ShareInUse[];
  byLoad: ShareByLoad[];
}

export function reportLoad(trace: Workload, prices: readonly LatePrice[], fleet: FleetOfRouters): LoadReport[] {
  const all = prices.map((price) => ({
    usdPerSecondLate: price ?? null,
    inUse: cloudShareInUse(price, trace, fleet),
    byLoad: cloudShareByLoad(price, trace, REQUESTS, fleet),
  }));
  const name = (of: LoadReport): string =>
    of.usdPerSecondLate === null ? 'default' : `late at $${of.usdPerSecondLate}/s`;
  console.log('share that goes to the cloud, by slots of own hardware in use when a request of the trace comes');
  console.table(
    all[0]!.inUse.map(({ inUseUpTo }, i) => ({
      'in use up to': percent(inUseUpTo),
      ...Object.fromEntries(
        all.map((of) => {
          const { cloudShare, requests } = of.inUse[i]!;
          return [name(of), cloudShare === null ? '-' : `${percent(cloudShare)} of ${requests}`];
        }),
      ),
    })),
  );
  console.log(
    'share that goes to the cloud, by load offered: a Poisson stream, over what both replicas finish when full',
  );
  console.table(
    all[0]!.byLoad.map(({ load }, i) => ({
      load,
      ...Object.fromEntries(
        all.map((of) => {
          const { cloudShare, p95Seconds } = of.byLoad[i]!.figures;
          return [name(of), `${percent(cloudShare.mean)}, p95 ${seconds(p95Seconds.mean)} s`];
        }),
      ),
    })),
  );
  return all;
}

export interface HerdingReport {
  replicas: number;
  load: number;
  heartbeatMs: number;
  results: Herding[];
}

export function reportHerding(trace: Workload, { heartbeatMs, seeds, firstSeed }: FleetOfRouters): HerdingReport {
  const perSecond = HERDING_LOAD * REPLICAS * fullReplicaPerSecond(trace);
  const workloads = new Map<number, Workload>();
  const workload = (seed: number): Workload => {
    const known = workloads.get(seed) ?? poissonOf(trace, perSecond, REQUESTS, seed);
    workloads.set(seed, known);
    return known;
  };
  const results = ROUTERS.flatMap((routers) =>
    HERDING_POLICIES.map((policy) =>
      herding(policy, { replicas: REPLICAS, routers, heartbeatMs, seeds, workload }, firstSeed),
    ),
  );
  console.log(
    `herding: ${REPLICAS} replicas at ${percent(HERDING_LOAD)} of what they finish when full, reports every ${heartbeatMs} ms`,
  );
  console.table(
    results.map((h) => ({
      routers: h.routers,
      policy: h.policy,
      'busiest between reports, x its share': h.pileUp.mean.toFixed(2),
      'p50, s': seconds(h.p50Seconds.mean),
      'p95, s (95 %)': `${seconds(h.p95Seconds.mean)} [${seconds(h.p95Seconds.low)}, ${seconds(h.p95Seconds.high)}]`,
      'p99, s': seconds(h.p99Seconds.mean),
    })),
  );
  return { replicas: REPLICAS, load: HERDING_LOAD, heartbeatMs, results };
}
