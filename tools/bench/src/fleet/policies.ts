import type { ReplicaLoad } from '@meritorder/fleet-core';
import type { FleetPolicy } from './simulated-fleet.js';

/** The router itself: the score with marginal cost, congestion and lateness; among replicas the faster of two drawn. */
export const meritOrder: FleetPolicy = {
  name: 'merit order',
  order: ({ router, all, inputTokens, estimate, draws, nowMs }) =>
    router.order(all, inputTokens, estimate, draws, nowMs),
  queues: false,
};

export const inFlight = ({ inFlight: started, waiting = 0 }: ReplicaLoad): number => started + waiting;

/** The least, one of equals at random. */
export function least(of: readonly number[], value: (index: number) => number, draw: number): number {
  const smallest = Math.min(...of.map(value));
  const equals = of.filter((i) => value(i) === smallest);
  return equals[Math.floor(draw * equals.length)]!;
}

/** What fleets do without prices. Own hardware has a queue in front of it. */
export const BASELINES: readonly FleetPolicy[] = [
  {
    name: 'always local',
    order: ({ router, own, draws }) => [least(own, (i) => inFlight(router.load(i)), draws.replica)],
    queues: true,
  },
  {
    name: 'always cloud',
    order: ({ all, own }) => all.filter((i) => !own.includes(i)),
    queues: true,
  },
  { name: 'round robin', order: ({ all, number }) => [all[number % all.length]!], queues: true },
  {
    name: 'least outstanding',
    order: ({ router, all, draws }) => [least(all, (i) => inFlight(router.load(i)), draws.replica)],
    queues: true,
  },
  {
    // The usual rule of a spill-over: own hardware while it has a slot.
    name: 'local until full',
    order: ({ router, all, own, draws }) => {
      const first = least(own, (i) => inFlight(router.load(i)), draws.replica);
      return [first, ...own.filter((i) => i !== first), ...all.filter((i) => !own.includes(i))];
    },
    queues: false,
  },
];
