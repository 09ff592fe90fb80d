import { capitalNanos, depreciableNanos, depreciatedNanos } from './depreciation.js';
import { MONTHLY_LINES, type Host, type Owned } from './host.js';
import { over, plus, ratio, ratioOf, sum, times, ZERO, isZero, type Ratio } from './ratio.js';
import { weekMean } from './tariff.js';
import {
  hourlyOfPower,
  perGpuSecond,
  perGpuSecondOfPower,
  quantity,
  type NanosPerGpuSecond,
  type NanosPerHour,
  type NanosPerKilowattHour,
} from './units.js';

/** What prices rest on: the planned cost of an average hour, and the two prices of a GPU-second. */
export interface UnitPrices {
  /** Of the whole host, without idle power. */
  fixedPerHour: NanosPerHour;
  idlePowerPerHour: NanosPerHour;
  /** GPU-seconds an hour that fixed cost is spread over: a policy. */
  practicalGpuSecondsPerHour: Ratio;
  /** Fixed cost of a GPU-second at practical capacity; undefined where there is no capacity to spread it over. */
  fixedPerGpuSecond: NanosPerGpuSecond | undefined;
  /** What one more busy GPU-second adds: energy, wear, and use of the lifetime where value is lost by use. Routes. */
  marginal: NanosPerGpuSecond;
  /** Fixed and variable. Bills. */
  full: NanosPerGpuSecond | undefined;
}

/**
 * The plan for the UTC month of an instant: depreciation and capital as they are in it, energy at the average of a week. So unit
 * prices do not swing with the hour or with use, and a new or unused host divides by nothing.
 */
export function unitPrices(host: Host, atMs: number): UnitPrices {
  const monthly = sum(MONTHLY_LINES.map((line) => host.monthly[line]));
  const fixedPerHour: NanosPerHour = quantity(
    plus(plus(monthly, host.rent), host.owned ? ownedPerHour(host.owned, atMs) : ZERO),
  );
  const idlePowerPerHour = idlePowerOf(host);
  const practical = times(times(times(ratio(3_600n), ratioOf(host.gpus)), host.availability), host.practicalCapacity);
  const fixedPerGpuSecond: NanosPerGpuSecond | undefined = isZero(practical)
    ? undefined
    : quantity(over(plus(fixedPerHour, idlePowerPerHour), practical));
  const marginal = marginalAt(host);
  return {
    fixedPerHour,
    idlePowerPerHour,
    practicalGpuSecondsPerHour: practical,
    fixedPerGpuSecond,
    marginal,
    full: fixedPerGpuSecond && quantity(plus(fixedPerGpuSecond, marginal)),
  };
}

/** The marginal price of a GPU-second while energy costs this much; by default the average of a week. */
export function marginalAt(host: Host, energyPrice?: NanosPerKilowattHour): NanosPerGpuSecond {
  const { power, owned } = host;
  const energy = power
    ? times(perGpuSecondOfPower(power.busyPerGpu, energyPrice ?? weekMean(power.tariff)), power.pue)
    : ZERO;
  return quantity(sum([energy, perGpuSecond(host.wear), owned ? lifetimePerGpuSecond(owned) : ZERO]));
}

function lifetimePerGpuSecond(owned: Owned): Ratio {
  if (owned.schedule !== 'units-of-production' || owned.lifetimeGpuMicroseconds === 0n) return ZERO;
  return ratio(depreciableNanos(owned) * 1_000_000n, owned.lifetimeGpuMicroseconds);
}

function idlePowerOf({ gpus, availability, power }: Host): NanosPerHour {
  if (!power) return quantity(ZERO);
  const draw = times(times(times(power.idlePerGpu, ratioOf(gpus)), power.pue), availability);
  return hourlyOfPower(quantity(draw), weekMean(power.tariff));
}

/** Depreciation and capital an hour, in the month of an instant as far as the host is in service. */
function ownedPerHour(owned: Owned, atMs: number): Ratio {
  const at = new Date(Math.max(atMs, owned.inServiceFromMs));
  const fromMs = Math.max(Date.UTC(at.getUTCFullYear(), at.getUTCMonth()), owned.inServiceFromMs);
  const toMs = Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1);
  const nanos = depreciatedNanos(owned, fromMs, toMs) + capitalNanos(owned, fromMs, toMs);
  return ratio(nanos * 3_600_000n, BigInt(Math.max(1, toMs - fromMs)));
}
