import { millijoulesBetween, type MeterReading } from './power-meters.js';

/** All meters at one instant. */
export interface PowerSample {
  atMs: number;
  readings: readonly MeterReading[];
}

/** Energy of a minute of the wall clock, and how much of the minute is known. */
export interface EnergyMinute {
  fromMs: number;
  coveredMs: number;
  millijoules: number;
  gpuUtilization: number | undefined;
}

export interface EnergyState {
  last: PowerSample | undefined;
  /** The minute that is not over. */
  minute: (EnergyMinute & { utilizationMs: number }) | undefined;
}

export const NOTHING_MEASURED: EnergyState = { last: undefined, minute: undefined };

const MINUTE_MS = 60_000;
/** Between samples that are further apart nothing is known. */
const LONGEST_GAP_MS = 20_000;

/**
 * Takes a sample in, or the fact that there was none. What lies between two samples is in the minutes it fell in, in proportion
 * to time.
 * @returns the state, and the minutes that are over now.
 */
export function addSample(
  state: EnergyState,
  sample: PowerSample | undefined,
): { state: EnergyState; finished: EnergyMinute[] } {
  const { last } = state;
  const betweenMs = sample && last ? sample.atMs - last.atMs : 0;
  const finished: EnergyMinute[] = [];
  let { minute } = state;
  const turnTo = (fromMs: number): NonNullable<EnergyState['minute']> => {
    if (minute?.fromMs === fromMs) return minute;
    if (minute) finished.push(closed(minute));
    return { fromMs, coveredMs: 0, millijoules: 0, gpuUtilization: undefined, utilizationMs: 0 };
  };
  if (sample && last && betweenMs > 0 && betweenMs <= LONGEST_GAP_MS) {
    const energy = energyBetween(last, sample, betweenMs);
    const used = meanUtilization(last, sample);
    for (let atMs = last.atMs; atMs < sample.atMs;) {
      const fromMs = Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
      const endMs = Math.min(sample.atMs, fromMs + MINUTE_MS);
      const into = turnTo(fromMs);
      minute = {
        fromMs,
        coveredMs: into.coveredMs + endMs - atMs,
        millijoules: into.millijoules + energy * ((endMs - atMs) / betweenMs),
        gpuUtilization: used === undefined ? into.gpuUtilization : (into.gpuUtilization ?? 0) + used * (endMs - atMs),
        utilizationMs: into.utilizationMs + (used === undefined ? 0 : endMs - atMs),
      };
      atMs = endMs;
    }
  }
  if (sample && minute && sample.atMs >= minute.fromMs + MINUTE_MS) {
    finished.push(closed(minute));
    minute = undefined;
  }
  return { state: { last: sample, minute }, finished };
}

function closed({ utilizationMs, gpuUtilization, ...minute }: NonNullable<EnergyState['minute']>): EnergyMinute {
  // A clock that was set back goes through some of a minute twice.
  const coveredMs = Math.min(MINUTE_MS, minute.coveredMs);
  return {
    fromMs: minute.fromMs,
    coveredMs,
    millijoules: minute.coveredMs === 0 ? 0 : Math.round(minute.millijoules * (coveredMs / minute.coveredMs)),
    gpuUtilization: gpuUtilization === undefined ? undefined : Math.min(1, gpuUtilization / utilizationMs),
  };
}

function energyBetween(before: PowerSample, after: PowerSample, betweenMs: number): number {
  return after.readings.reduce(
    (sum, reading, i) => sum + millijoulesBetween(before.readings[i]!, reading, betweenMs),
    0,
  );
}

function meanUtilization(before: PowerSample, after: PowerSample): number | undefined {
  const [then, now] = [before, after].map(({ readings }) =>
    readings.map((r) => (r.kind === 'power' ? r.utilization : undefined)).find((share) => share !== undefined),
  );
  return then === undefined || now === undefined ? undefined : (then + now) / 2;
}
