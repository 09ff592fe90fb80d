import { seededRandom } from '@meritorder/kernel';
import { priceBounds, type LoggedRequest } from '@meritorder/pacing-core';
import { estimator } from './estimates.js';
import { bestFixedPrices } from './hindsight.js';
import { bestModel, dualDescent, shadowPrices, type Start } from './policies.js';
import type { JudgedPrompt, JudgedPrompts } from './rewards.js';
import { simulate, type BudgetPlan, type Outcome } from './simulation.js';
import { DAYS, makeTraffic, OFFICE, type Prompt, type Shape } from './traffic.js';

export interface Scenario {
  name: string;
  windowDays: number;
  /** Share of the traffic, and the team's limit as a multiple of its share of the organisation's. */
  teams: readonly { share: number; limit: number }[];
  demand(day: number): number;
  /** Absent: as an office. */
  shape?: Shape;
  /** Nothing was logged and nothing is forecast. */
  isNew?: boolean;
}

const CHANGES_ON_DAY = 12;
const ONE = [{ share: 1, limit: Infinity }];
/** One team is held by its own cap, the others by the organisation's. */
const TEAMS = [
  { share: 0.5, limit: 0.7 },
  { share: 0.3, limit: 1.5 },
  { share: 0.2, limit: 1.5 },
];
/** Next to nothing by night and at week-ends, and once in two days an hour of six times as much. */
const RESTLESS: Shape = { weekend: 0.1, swing: 0.98, bursts: { chance: 0.02, factor: 6 } };
const DEMANDS: Record<string, (day: number) => number> = {
  steady: () => 1,
  surge: (day) => (day < CHANGES_ON_DAY ? 1 : 1.8),
  drop: (day) => (day < CHANGES_ON_DAY ? 1 : 0.5),
  half: () => 0.5,
};

export const SCENARIOS: readonly Scenario[] = [
  ...Object.entries(DEMANDS).map(([name, demand]) => ({ name, windowDays: DAYS, teams: ONE, demand })),
  ...Object.entries(DEMANDS).map(([name, demand]) => ({
    name: `${name}, team under organisation`,
    windowDays: DAYS,
    teams: TEAMS,
    demand,
  })),
  { name: 'steady, a cap a day', windowDays: 1, teams: ONE, demand: DEMANDS['steady']! },
  ...['steady', 'surge', 'drop'].map((name) => ({
    name: `${name}, nights, week-ends and bursts`,
    windowDays: DAYS,
    teams: ONE,
    demand: DEMANDS[name]!,
    shape: RESTLESS,
  })),
  ...[DAYS, 1].map((windowDays) => ({
    name: `steady, ${windowDays === 1 ? 'a cap a day, ' : ''}a new budget`,
    windowDays,
    teams: ONE,
    demand: DEMANDS['steady']!,
    isNew: true,
  })),
];

export interface Setting {
  requestsPerDay: number;
  /** Absent: a third of the way, in the logarithm, from the cheapest model for all to the dearest. */
  usdPerRequest?: number | undefined;
  usdPerPoint: number;
}

export interface Run {
  paced: Outcome;
  hindsight: Outcome;
  changesPerDay: number;
  bestModel: Outcome;
  dualDescent: Outcome;
  ignoresInFlight: Outcome;
  keepsNoRoom: Outcome;
}

export function usdPerRequest({ models, prompts }: JudgedPrompts): number {
  const means = models.map((_, m) => prompts.reduce((sum, p) => sum + p.costsNanos[m]!, 0) / prompts.length / 1e9);
  const [least, most] = [Math.min(...means), Math.max(...means)];
  return least * (most / least) ** (1 / 3);
}

/** One scenario with one seed: half of the prompts are what estimates and the log are of, the other half is what comes. */
export function prepare(scenario: Scenario, judged: JudgedPrompts, setting: Setting, seed: number): Start {
  const random = seededRandom(seed);
  const [known, coming] = halves(judged.prompts, random);
  const estimate = estimator(known, judged.models.length, setting.usdPerPoint);
  const withEstimates = (prompts: readonly JudgedPrompt[]): Prompt[] =>
    prompts.map((p) => ({ tag: p.tag, candidates: estimate(p) }));
  const plan = {
    requestsPerDay: setting.requestsPerDay,
    teams: scenario.teams.map((team) => team.share),
    demand: scenario.demand,
    shape: scenario.shape ?? OFFICE,
  };
  const traffic = makeTraffic(plan, withEstimates(coming), random);
  const log = makeLog(makeTraffic({ ...plan, demand: () => 1 }, withEstimates(known), random), scenario);
  const boundsNanos = judged.models.map((_, m) => Math.max(...judged.prompts.map((p) => p.costsNanos[m]!)));
  return { traffic, budgets: budgetsOf(scenario, judged, setting), log, boundsNanos, isNew: scenario.isNew ?? false };
}

export function hindsightOf({ traffic, budgets, boundsNanos, log }: Start): ReturnType<typeof bestFixedPrices> {
  return bestFixedPrices(traffic, budgets, boundsNanos, [0.01, priceBounds(0, log).max * 2]);
}

export function runScenario(scenario: Scenario, judged: JudgedPrompts, setting: Setting, seed: number): Run {
  const start = prepare(scenario, judged, setting, seed);
  const run = (policy: Parameters<typeof simulate>[3]): Outcome =>
    simulate(start.traffic, start.budgets, start.boundsNanos, policy);
  const controller = shadowPrices(start);
  const paced = run(controller);
  return {
    paced,
    changesPerDay: controller.changes() / DAYS,
    hindsight: hindsightOf(start),
    bestModel: run(bestModel()),
    dualDescent: run(dualDescent(start)),
    keepsNoRoom: run(shadowPrices(start, { keepsRoom: false })),
    ignoresInFlight: run(shadowPrices(start, { ignoresInFlight: true })),
  };
}

function budgetsOf({ windowDays, teams }: Scenario, judged: JudgedPrompts, setting: Setting): BudgetPlan {
  const each = setting.usdPerRequest ?? usdPerRequest(judged);
  const org = Math.round(each * setting.requestsPerDay * windowDays * 1e9);
  return { windowDays, limitsNanos: [org, ...teams.map(({ share, limit }) => Math.round(org * share * limit))] };
}

/** The last requests of the time before, as decisions' records have them. */
function makeLog(
  { requests }: { requests: { team: number; candidates: Prompt['candidates'] }[] },
  { teams }: Scenario,
) {
  return requests.slice(-2_000).map(({ team, candidates }): LoggedRequest => ({
    candidates,
    budgets: teams[team]!.limit === Infinity ? ['0'] : ['0', String(team + 1)],
  }));
}

function halves<Item>(items: readonly Item[], random: () => number): [Item[], Item[]] {
  const shuffled = items.map((item) => ({ item, at: random() })).toSorted((a, b) => a.at - b.at);
  const middle = shuffled.length >> 1;
  return [shuffled.slice(0, middle).map((s) => s.item), shuffled.slice(middle).map((s) => s.item)];
}
