import { join } from 'node:path';
import { Counters } from '@meritorder/counters';
import { startRedis } from '@meritorder/testing';
import { Redis } from 'ioredis';
import { probeCommand } from './reservation-probe.js';

/** Reservations a second from one process: by the client that routers use, and by the script called with ready arguments. */
export interface ReservationRate {
  perSecond: number;
  barePerSecond: number;
  /** 1: the client costs nothing. */
  ratioToBareScript: number;
}

export type MeasureReservation = (options: {
  dataDir: string;
  cacheDir: string;
  log: (line: string) => void;
}) => Promise<ReservationRate>;

const ROUNDS = 5;
const CALLS = 2_000;
const IN_FLIGHT = 64;

/** On a Redis of its own, in turns, so that both meet the same machine. The median of the rounds counts. */
export const measureReservation: MeasureReservation = async ({ dataDir, cacheDir, log }) => {
  const server = await startRedis({ dataDir: join(dataDir, 'redis-bare'), cacheDir, log });
  const counters = await Counters.connect(server.url);
  const bare = new Redis(server.url);
  try {
    await counters.beginEpoch(1);
    await counters.openEpoch(1, 0);
    const argumentsOf = await recordedCall(server.url, counters);
    const rates: { client: number; bare: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const commands = Array.from({ length: CALLS }, probeCommand);
      const ready = Array.from({ length: CALLS }, () => argumentsOf(probeCommand().attemptId));
      rates.push({
        client: await rate(commands, (command) => counters.reserve(command)),
        bare: await rate(ready, ([sha1, count, ...rest]) => bare.evalsha(sha1!, Number(count), ...rest)),
      });
    }
    const perSecond = median(rates.map((r) => r.client));
    const barePerSecond = median(rates.map((r) => r.bare));
    return { perSecond, barePerSecond, ratioToBareScript: median(rates.map((r) => r.client / r.bare)) };
  } finally {
    await counters.close();
    bare.disconnect();
    await server.stop();
  }
};

/** Listens to what the client sends for one reservation, and repeats it with other attempts: whatever the script looks like. */
async function recordedCall(url: string, counters: Counters): Promise<(attemptId: string) => string[]> {
  const listener = new Redis(url);
  const monitor = await listener.monitor();
  const command = probeCommand();
  try {
    const seen = new Promise<string[]>((resolve) => {
      monitor.on('monitor', (_time: string, args: string[]) => {
        if (args[0]?.toLowerCase() === 'evalsha' && args.some((a) => a.includes(command.attemptId))) resolve(args);
      });
    });
    // Twice: the first call of a server sends the script's text.
    await counters.reserve(probeCommand());
    await counters.reserve(command);
    const [, ...rest] = await seen;
    return (attemptId) => rest.map((argument) => argument.replace(command.attemptId, attemptId));
  } finally {
    monitor.disconnect();
    listener.disconnect();
  }
}

async function rate<T>(commands: readonly T[], run: (command: T) => Promise<unknown>): Promise<number> {
  let next = 0;
  const started = performance.now();
  const worker = async (): Promise<void> => {
    while (next < commands.length) await run(commands[next++]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return commands.length / ((performance.now() - started) / 1_000);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
