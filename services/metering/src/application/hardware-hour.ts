import type { BackendConfig, HostConfig } from '@meritorder/contracts';
import {
  closePeriod,
  gpuSecondsOf,
  hostOf,
  ratio,
  roundHalfEven,
  throughputOf,
  times,
  toNumber,
  unitPrices,
  type Throughput,
  type ThroughputFit,
  type TokenCounts,
} from '@meritorder/hardware-core';
import type { BackendUsage, HostHour, HostHourFacts } from '@meritorder/ledger-store';

/** How fast a host's backends are: as prices assume it, and as last fitted. */
export interface HostFits {
  priced(backend: string): ThroughputFit | undefined;
  latest(backend: string): ThroughputFit | undefined;
}

const HOUR_MS = 3_600_000;
/** An answer has to be booked before its hour is closed; what comes later goes to the open hour. */
export const CLOSING_GRACE_MS = 300_000;
const MICROSECONDS = ratio(1_000_000n);

/** The hours that can be closed now, oldest first, from a host's open hour on. */
export function* hoursToClose(openHourMs: number, nowMs: number): Generator<Date> {
  for (let hourMs = openHourMs; hourMs + HOUR_MS + CLOSING_GRACE_MS <= nowMs; hourMs += HOUR_MS) yield new Date(hourMs);
}

/**
 * What a host cost in an hour, what of it attempts were charged, and why the rest was not. Work is what the engines timed, and
 * tokens at the fitted rates where they timed nothing; standard work is tokens at the rates that prices rest on. A backend
 * without a configured throughput counts with what it was charged alone.
 */
export function hostHour(
  config: HostConfig,
  backends: readonly BackendConfig[],
  fits: HostFits,
  facts: HostHourFacts,
): HostHour {
  const host = hostOf(config);
  const [fromMs, toMs] = [facts.hour.getTime(), facts.hour.getTime() + HOUR_MS];
  const plan = unitPrices(host, fromMs);
  let [standard, busy, allocatedNanos] = [0n, 0n, 0n];
  for (const usage of facts.usage) {
    allocatedNanos += usage.absorbedNanos;
    const throughput = backends.find((b) => b.id === usage.backend)?.throughput;
    if (!throughput) continue;
    standard += gpuMicrosecondsOf(throughputOf(throughput, fits.priced(usage.backend)), usage.tokens);
    busy += busyOf(throughputOf(throughput, fits.latest(usage.backend)), usage);
  }
  const period = closePeriod(host, plan, {
    fromMs,
    toMs,
    standardGpuMicroseconds: standard,
    allocatedNanos,
    use: {
      busyGpuMicroseconds: busy,
      busyBeforeGpuMicroseconds: facts.busyBeforeGpuMicroseconds,
      measured: config.power && facts.measured,
    },
  });
  return {
    incurred: period.lines,
    incurredNanos: period.totalNanos,
    allocatedNanos,
    idleNanos: period.idleNanos,
    variances: period.variances,
    availableGpuMicroseconds: BigInt(Math.round(config.gpus * config.availability * HOUR_MS * 1_000)),
    practicalGpuMicroseconds: BigInt(Math.round(toNumber(plan.practicalGpuSecondsPerHour) * 1e6)),
    standardGpuMicroseconds: standard,
    busyGpuMicroseconds: busy,
    energyBasis: period.energyBasis,
  };
}

function busyOf(throughput: Throughput, { timedReplicaMicroseconds, untimed }: BackendUsage): bigint {
  return timedReplicaMicroseconds * BigInt(throughput.gpus) + gpuMicrosecondsOf(throughput, untimed);
}

function gpuMicrosecondsOf(throughput: Throughput, tokens: TokenCounts): bigint {
  return roundHalfEven(times(gpuSecondsOf(throughput, tokens), MICROSECONDS));
}
