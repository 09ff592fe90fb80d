import { seededRandom } from '@meritorder/kernel';
import { learnConversion, learnTrial } from './learn.js';
import { bringConversionForward } from './ripening.js';
import { emptyOrgConversion, type OrgConversion } from './segments.js';

export const DAY_MS = 86_400_000;

/** Traffic whose truth is known. */
export interface Traffic {
  readonly seed: number;
  readonly days: number;
  readonly requestsPerDay: number;
  readonly segments: readonly (readonly string[])[];
  readonly backends: readonly string[];
  readonly rate: (segment: readonly string[], backend: string, day: number) => number;
  readonly quality?: (backend: string) => number;
  /** Mean of exponential delays that are cut off at the window. */
  readonly delayDays: number;
  readonly windowDays?: number;
  readonly revenueUsd?: (random: () => number) => number;
}

/** Requests and outcomes in the order in which they are known, until `days` are over; and what counting alone would say. */
export function simulate(traffic: Traffic): { state: OrgConversion; naive: number; trials: number } {
  const { seed, days, requestsPerDay, segments, backends, windowDays = 14 } = traffic;
  const random = seededRandom(seed);
  const state = emptyOrgConversion(0, windowDays * DAY_MS);
  const outcomes: { atMs: number; segment: readonly string[]; backend: string; requestedAtMs: number }[][] = [];
  let came = 0;
  const trials = Math.round(days * requestsPerDay);
  const stepMs = DAY_MS / 24;
  let next = 0;
  for (let step = 0; step < days * 24; step++) {
    const untilMs = (step + 1) * stepMs;
    for (; next < trials && next * (DAY_MS / requestsPerDay) < untilMs; next++) {
      const requestedAtMs = next * (DAY_MS / requestsPerDay);
      const segment = segments[Math.floor(random() * segments.length)]!;
      const backend = backends[Math.floor(random() * backends.length)]!;
      const quality = traffic.quality?.(backend);
      learnTrial(
        state,
        { segment, backend, requestedAtMs, ...(quality === undefined ? {} : { quality }) },
        requestedAtMs,
      );
      if (random() >= traffic.rate(segment, backend, requestedAtMs / DAY_MS)) continue;
      const most = 1 - Math.exp(-windowDays / traffic.delayDays);
      const atMs = requestedAtMs - Math.log(1 - random() * most) * traffic.delayDays * DAY_MS;
      (outcomes[Math.floor(atMs / stepMs)] ??= []).push({ atMs, segment, backend, requestedAtMs });
    }
    for (const { atMs, segment, backend, requestedAtMs } of outcomes[step] ?? []) {
      came++;
      const outcome = { segment, backend, requestedAtMs, occurredAtMs: atMs, converted: true, wasConverted: false };
      const revenueUsd = traffic.revenueUsd?.(random);
      learnConversion(state, { ...outcome, ...(revenueUsd === undefined ? {} : { revenueUsd }) }, untilMs);
    }
  }
  bringConversionForward(state, days * DAY_MS + DAY_MS / 24);
  return { state, naive: came / trials, trials };
}
