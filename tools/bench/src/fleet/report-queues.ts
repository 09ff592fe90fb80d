import type { Interval } from '../pacing/interval.js';
import { oneMoreAgainstCore, oneMoreSettings, type OneMoreAgainstCore } from './one-more.js';
import { queueAgainstTheory, queueSettings, within, type QueueAgainstTheory } from './queue-theory.js';

/** What the issue asks of the simulation. */
const TOLERANCE = 0.02;

export interface QueuesReport {
  queues: QueueAgainstTheory[];
  oneMore: OneMoreAgainstCore[];
  /** Over all, how far the interval that is furthest off reaches from the theory; of waits, times in system, and what one more costs. */
  furthest: { wait: number; inSystem: number; oneMore: number };
  withinTolerance: boolean;
}

export function reportQueues(arrivals: number, runs: number, pairs: number, seed: number): QueuesReport {
  const queues = queueSettings().map((setting, i) => queueAgainstTheory(setting, { arrivals, runs }, seed + i));
  console.log(`simulated queues against theory: ${runs} runs, differences with their 95 % intervals`);
  console.table(
    queues.map((q) => ({
      queue: q.name,
      station: q.station,
      load: q.load,
      'wait, s': q.theoryWaitSeconds.toFixed(4),
      'simulated wait': percents(q.waitError),
      'in system, s': q.theoryInSystemSeconds.toFixed(4),
      'simulated in system': percents(q.inSystemError),
    })),
  );
  const oneMore = oneMoreSettings().map((setting, i) => oneMoreAgainstCore(setting, pairs, seed + i));
  console.log('what one more request costs: the core against the same minutes with it and without it');
  console.table(
    oneMore.map((o) => ({
      queue: o.name,
      'in flight': o.inFlight,
      'core: all lose, s': o.coreAllSeconds.toFixed(4),
      'simulated: all': percents(o.allError),
      'core: others lose, s': o.coreOthersSeconds.toFixed(4),
      'simulated: others': percents(o.othersError),
    })),
  );
  const errors = [...queues.flatMap((q) => [q.waitError, q.inSystemError]), ...oneMore.map((o) => o.allError)];
  return {
    queues,
    oneMore,
    furthest: {
      wait: furthest(queues.map((q) => q.waitError)),
      inSystem: furthest(queues.map((q) => q.inSystemError)),
      oneMore: furthest(oneMore.map((o) => o.allError)),
    },
    withinTolerance: errors.every((e) => within(TOLERANCE, e)),
  };
}

function furthest(all: readonly Interval[]): number {
  return Math.max(...all.map(({ low, high }) => Math.max(-low, high)));
}

function percents({ mean, low, high }: Interval): string {
  const percent = (share: number): string => (100 * share).toFixed(2);
  return `${percent(mean)} % [${percent(low)}, ${percent(high)}]`;
}
