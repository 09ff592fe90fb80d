import type { Workload } from '@meritorder/simulation-core';
import { FleetBackend } from './fleet-backend.js';
import { figuresOf, runsOf, type FleetOfRouters, type PolicyFigures } from './compare-policies.js';
import { meritOrder } from './policies.js';
import { fleetConfig, type LatePrice } from './setting.js';
import { FROM_MS, poissonOf } from './trace-workload.js';

/** Share of requests that went to the cloud, of those that came while so many slots of own hardware were in use. */
export interface ShareInUse {
  /** Of the slots, above the row before up to this. */
  inUseUpTo: number;
  requests: number;
  /** Null: none came. */
  cloudShare: number | null;
}

const IN_USE = [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1];

export function cloudShareInUse(price: LatePrice, workload: Workload, fleet: FleetOfRouters): ShareInUse[] {
  const all = runsOf(meritOrder, price, workload, fleet).flat();
  return IN_USE.map((inUseUpTo, i) => {
    const above = IN_USE[i - 1] ?? -1;
    const here = all.filter((d) => d.ownInUse > above && d.ownInUse <= inUseUpTo);
    const cloud = here.filter((d) => !d.local).length;
    return { inUseUpTo, requests: here.length, cloudShare: here.length === 0 ? null : cloud / here.length };
  });
}

/** Requests of the sample's lengths that a full replica finishes in a second. */
export function fullReplicaPerSecond(sample: Workload): number {
  const config = fleetConfig({ replicas: 1, cloud: false });
  const { simulated } = new FleetBackend(config, 'gpu-1', { fromMs: FROM_MS, toMs: FROM_MS });
  const mean = (of: Int32Array): number => of.reduce((a, b) => a + b, 0) / of.length;
  const work = { inputTokens: mean(sample.inputTokens), outputTokens: mean(sample.outputTokens) };
  const { gpuSeconds } = simulated.numbers(work, { targetSeconds: Infinity, usdPerSecondLate: 0 });
  return simulated.config.throughput!.gpus / gpuSeconds;
}

/** By offered load: a Poisson stream of the sample's lengths, as a share of what both replicas finish when full. */
export interface ShareByLoad {
  load: number;
  figures: PolicyFigures;
}

const LOADS = [0.1, 0.3, 0.5, 0.7, 0.9, 1.2, 2];

export function cloudShareByLoad(
  price: LatePrice,
  sample: Workload,
  requests: number,
  fleet: FleetOfRouters,
): ShareByLoad[] {
  const full = 2 * fullReplicaPerSecond(sample);
  return LOADS.map((load) => ({
    load,
    figures: figuresOf(meritOrder, price, poissonOf(sample, load * full, requests, fleet.firstSeed), fleet),
  }));
}
