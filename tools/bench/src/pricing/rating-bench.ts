import { rate } from '@meritorder/pricing-core';
import { ratingMix, type RatingCase } from './rating-mix.js';

export interface RatingReport {
  attemptsRatedPerSecond: number;
  /** The same attempts as four bare bigint multiplications, their sum and one division: what exact arithmetic costs. */
  floorPerSecond: number;
  /** Rated per second over the floor. */
  ratioToFloor: number;
}

const ATTEMPTS = 50_000;
const ROUNDS = 9;

/**
 * Rates a mix of attempts, by the CPU time it takes on all threads, so that what else runs on the machine counts little; the
 * median of rounds that alternate with the floor.
 */
export function benchRating(): RatingReport {
  const cases = ratingMix(ATTEMPTS, 1);
  let sink = 0n;
  const rated: number[] = [];
  const floor: number[] = [];
  const perSecond = (work: (c: RatingCase) => bigint): number => {
    const before = process.cpuUsage();
    for (const c of cases) sink += work(c);
    const { user, system } = process.cpuUsage(before);
    return (cases.length * 1_000_000) / (user + system);
  };
  // The first round of each only warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const full = perSecond(({ price, usage, served }) => rate(price, usage, served).cashNanos);
    const bare = perSecond(multiplyAdd);
    if (round > 0) {
      rated.push(full);
      floor.push(bare);
    }
  }
  if (sink === 0n) throw new Error('nothing was rated');
  const attemptsRatedPerSecond = Math.round(median(rated));
  const floorPerSecond = Math.round(median(floor));
  return {
    attemptsRatedPerSecond,
    floorPerSecond,
    ratioToFloor: Number((attemptsRatedPerSecond / floorPerSecond).toFixed(3)),
  };
}

function multiplyAdd({ usage }: RatingCase): bigint {
  return (
    (3_000_000n * BigInt(usage.inputTokens) +
      300_000n * BigInt(usage.cacheReadTokens) +
      3_750_000n * BigInt(usage.cacheWrite5mTokens) +
      15_000_000n * BigInt(usage.outputTokens)) /
    1_000n
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
