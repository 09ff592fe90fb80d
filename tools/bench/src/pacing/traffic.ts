import type { Candidate } from './estimates.js';

export const DAY_MS = 86_400_000;
export const DAYS = 30;
const HOUR_MS = 3_600_000;

export interface Request {
  atMs: number;
  team: number;
  candidates: readonly Candidate[];
  /** From the reservation until the cost is known. */
  settlesAfterMs: number;
}

export interface Prompt {
  tag: string;
  candidates: readonly Candidate[];
}

export interface Traffic {
  requests: Request[];
  /** Requests forecast for a team from the beginning until an instant; known before anything comes. */
  forecastUntil(team: number, atMs: number): number;
}

export interface TrafficPlan {
  requestsPerDay: number;
  /** Share of the traffic of each team; sums to 1. */
  teams: readonly number[];
  /** Factor on demand on a day, that nobody forecasts. */
  demand(day: number): number;
  shape: Shape;
}

export interface Shape {
  /** A day of the week-end beside a working day. */
  weekend: number;
  /** By how much the height of the day exceeds its mean; below 1. */
  swing: number;
  /** Hours, that nobody forecasts, with so many times the requests. */
  bursts?: { chance: number; factor: number };
}

/** Working days and hours above the rest. */
export const OFFICE: Shape = { weekend: 0.5, swing: 0.8 };

/** Share of a week's requests by hour; mean 1. */
function weights({ weekend, swing }: Shape): (hour: number) => number {
  const hours = Array.from({ length: 168 }, (_, hour) => {
    const [day, hourOfDay] = [Math.floor(hour / 24), hour % 24];
    return (day < 5 ? 1 : weekend) * (1 + swing * Math.sin(((hourOfDay - 8) / 24) * 2 * Math.PI));
  });
  const mean = hours.reduce((a, b) => a + b) / hours.length;
  return (hour) => hours[hour % 168]! / mean;
}

/** Each an assumption: by how much days differ from their forecast, and a month's forecast from its mean. */
const DAY_SIGMA = 0.1;
const FORECAST_SIGMA = 0.1;
/** Of attempts as long as a batch job or an unconfirmed charge: their cost is known hours later. */
const LATE_SHARE = 0.05;
const LATE_MS = 6 * HOUR_MS;
const SETTLES_MEDIAN_MS = 8_000;
/** Teams ask for different things: a factor e^(sigma x normal) on how often a team's prompt has a tag. */
const TAG_SIGMA = 0.7;

/** Thirty days of requests: Poisson by hour, prompts drawn with replacement. */
export function makeTraffic(plan: TrafficPlan, prompts: readonly Prompt[], random: () => number): Traffic {
  const forecastError = plan.teams.map(() => Math.exp(FORECAST_SIGMA * normal(random)));
  const draw = plan.teams.map(() => drawer(prompts, random));
  const requests: Request[] = [];
  const weight = weights(plan.shape);
  const { bursts } = plan.shape;
  for (let day = 0; day < DAYS; day++) {
    const ofDay = plan.demand(day) * Math.exp(DAY_SIGMA * normal(random));
    for (let hour = day * 24; hour < (day + 1) * 24; hour++) {
      const burst = bursts && random() < bursts.chance ? bursts.factor : 1;
      for (const [team, share] of plan.teams.entries()) {
        const count = poisson(((plan.requestsPerDay * share) / 24) * weight(hour) * ofDay * burst, random);
        for (let index = 0; index < count; index++)
          requests.push({
            atMs: Math.floor((hour + random()) * HOUR_MS),
            team,
            candidates: draw[team]!().candidates,
            settlesAfterMs: random() < LATE_SHARE ? random() * LATE_MS : SETTLES_MEDIAN_MS * Math.exp(normal(random)),
          });
      }
    }
  }
  requests.sort((a, b) => a.atMs - b.atMs);
  const sums = [0];
  for (let hour = 0; hour < DAYS * 24; hour++) sums.push(sums[hour]! + (plan.requestsPerDay / 24) * weight(hour));
  return {
    requests,
    forecastUntil: (team, atMs) => {
      const hour = Math.min(DAYS * 24, Math.max(0, atMs / HOUR_MS));
      const whole = Math.floor(hour);
      const sum = sums[whole]! + (hour - whole) * ((sums[whole + 1] ?? sums[whole]!) - sums[whole]!);
      return plan.teams[team]! * forecastError[team]! * sum;
    },
  };
}

function drawer(prompts: readonly Prompt[], random: () => number): () => Prompt {
  const tags = new Map(
    [...new Set(prompts.map((p) => p.tag))].map((tag) => [tag, Math.exp(TAG_SIGMA * normal(random))]),
  );
  const sums: number[] = [];
  for (const { tag } of prompts) sums.push((sums.at(-1) ?? 0) + tags.get(tag)!);
  return () => {
    const at = random() * sums.at(-1)!;
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return prompts[low]!;
  };
}

export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** By Knuth below 30; above by the normal with its mean and variance. */
function poisson(mean: number, random: () => number): number {
  if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  let product = random();
  let count = 0;
  for (const least = Math.exp(-mean); product > least; count++) product *= random();
  return count;
}
