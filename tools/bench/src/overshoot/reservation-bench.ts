import { Redis } from 'ioredis';
import { Counters, encodeReserve, SCRIPTS, type CandidateWindow, type ReserveCommand } from '@meritorder/counters';
import { percentile } from '../replay/percentile.js';

export interface ReservationFigures {
  reservationsPerSecond: number;
  bareReservationsPerSecond: number;
  ratioToBareScript: number;
  p50Ms: number;
  p99Ms: number;
  bareP50Ms: number;
  bareP99Ms: number;
}

export interface ReservationBenchOptions {
  /** A Redis of the bench's own: it is wiped. */
  redisUrl: string;
  /** Reservations under way at once. */
  inFlight?: number;
  perRound?: number;
  rounds?: number;
}

/**
 * What `Counters` adds to the bare script: reservations on four levels (org, team, customer, feature) from one process, against the
 * same script called with arguments made beforehand. Rounds of the two alternate, so that a busy machine slows both; each pair of
 * rounds gives one ratio and the median counts.
 */
export async function reservationBench(options: ReservationBenchOptions): Promise<ReservationFigures> {
  const { redisUrl, inFlight = 64, perRound = 20_000, rounds = 7 } = options;
  const bare = new Redis(redisUrl);
  await bare.flushall();
  const counters = await Counters.connect(redisUrl, { commandTimeoutMs: 10_000 });
  try {
    await counters.beginEpoch(1);
    await counters.openEpoch(1, 0);
    await bare.script('LOAD', SCRIPTS.reserve.text);
    const through: Round[] = [];
    const alone: Round[] = [];
    for (let round = 0; round <= rounds; round++) {
      const commands = (kind: string) => Array.from({ length: perRound }, (_, i) => command(`${kind}-${round}-${i}`));
      const ofCounters = commands('c');
      const measured = await run(inFlight, ofCounters, (asked) => counters.reserve(asked));
      const calls = commands('b').map((asked) => {
        const { keys, args } = encodeReserve(asked, 1);
        return [SCRIPTS.reserve.sha1, keys.length, ...keys, ...args] as [string, number, ...string[]];
      });
      const direct = await run(inFlight, calls, (call) => bare.evalsha(...call));
      // The first pair warms up.
      if (round === 0) continue;
      through.push(measured);
      alone.push(direct);
    }
    const ratios = through.map((r, i) => r.perSecond / alone[i]!.perSecond);
    return {
      reservationsPerSecond: median(through.map((r) => r.perSecond)),
      bareReservationsPerSecond: median(alone.map((r) => r.perSecond)),
      ratioToBareScript: median(ratios),
      p50Ms: median(through.map((r) => r.p50Ms)),
      p99Ms: median(through.map((r) => r.p99Ms)),
      bareP50Ms: median(alone.map((r) => r.p50Ms)),
      bareP99Ms: median(alone.map((r) => r.p99Ms)),
    };
  } finally {
    await counters.close();
    bare.disconnect();
  }
}

interface Round {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}

async function run<T>(inFlight: number, work: readonly T[], call: (item: T) => Promise<unknown>): Promise<Round> {
  const tookMs: number[] = [];
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < work.length) {
        const item = work[next++]!;
        const from = performance.now();
        const reply = await call(item);
        tookMs.push(performance.now() - from);
        assertGranted(reply);
      }
    }),
  );
  const seconds = (performance.now() - started) / 1_000;
  return { perSecond: work.length / seconds, p50Ms: percentile(tookMs, 50), p99Ms: percentile(tookMs, 99) };
}

/** A refusal would be faster, and measure something else. */
function assertGranted(reply: unknown): void {
  const type = Array.isArray(reply) ? reply[0] : (reply as { type: string }).type;
  if (type !== 'granted') throw new Error(`a reservation of the bench was not granted: ${JSON.stringify(reply)}`);
}

/** As routers do: the same window objects for every request, in the hundreds. */
const LEVELS = Array.from({ length: 100 }, (_, i): CandidateWindow[] =>
  ['org', `team-${i % 10}`, `customer-${i}`, `feature-${i % 7}`].map((budget, level) => ({
    budget,
    window: '2026-11',
    basis: level === 3 ? 'full' : 'cash',
    limitNanos: 9_000_000_000_000_000n,
    limitVersion: 1_000,
  })),
);

function command(attemptId: string): ReserveCommand {
  const place = Number(attemptId.slice(attemptId.lastIndexOf('-') + 1));
  return {
    attemptId,
    leaseMs: 20_000,
    candidates: [
      {
        backend: 'b',
        maxTokens: 400,
        minTokens: 64,
        cash: { fixedNanos: 1_200n, perOutputTokenNanos: 3n },
        full: { fixedNanos: 1_200n, perOutputTokenNanos: 3n },
        windows: LEVELS[place % LEVELS.length]!,
      },
    ],
  };
}

function median(values: readonly number[]): number {
  return percentile(values, 50);
}
