/**
 * Rates as a generic cell rate algorithm: one instant (the theoretical arrival time) is all that is kept. Never more than the
 * rate in any minute, at most a tenth of it at once. Times are integer microseconds.
 */
export interface Rate {
  /** Units that flow in a minute once the burst is used up. */
  flow: number;
  /** How far the arrival time may be ahead of now after an admission. */
  aheadMicros: number;
  /** What may come at once. */
  burst: number;
  limit: number;
}

const MINUTE_MICROS = 60_000_000;

/** Of requests: a burst of B and then one each minute/(N-B+1) are at most N in any minute. */
export function requestRate(perMinute: number): Rate {
  const burst = Math.max(1, Math.floor(perMinute / 10));
  const flow = perMinute - burst + 1;
  return { flow, aheadMicros: burst * Math.ceil(MINUTE_MICROS / flow), burst, limit: perMinute };
}

/** Of tokens, which come in lumps: a burst of B and then a flow of N-B a minute. */
export function tokenRate(perMinute: number): Rate {
  const burst = Math.max(1, Math.floor(perMinute / 10));
  const flow = Math.max(1, perMinute - burst);
  return { flow, aheadMicros: Math.ceil((burst * MINUTE_MICROS) / flow), burst, limit: perMinute };
}

/** How long until so many units are admitted: 0 is now, undefined is never. A lump above the burst waits until all is paid back. */
export function waitMicros(rate: Rate, arrivalMicros: number, units: number, nowMicros: number): number | undefined {
  if (units > rate.limit) return undefined;
  const ahead = Math.max(0, arrivalMicros - nowMicros);
  if (units > rate.burst) return ahead;
  return Math.max(0, ahead + costMicros(rate, units) - rate.aheadMicros);
}

export function arrivalAfter(rate: Rate, arrivalMicros: number, units: number, nowMicros: number): number {
  return Math.max(arrivalMicros, nowMicros) + costMicros(rate, units);
}

/** What units move the arrival time. */
function costMicros(rate: Rate, units: number): number {
  return Math.ceil((units * MINUTE_MICROS) / rate.flow);
}
