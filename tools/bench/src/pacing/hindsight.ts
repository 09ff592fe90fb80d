import { bestAt } from '@meritorder/pacing-core';
import { fixedPrices } from './policies.js';
import { simulate, type BudgetPlan, type Outcome } from './simulation.js';
import type { Traffic } from './traffic.js';

const GRID = 128;
const FACTORS = [1.2, 1.06, 1.02];
const ROUNDS = 6;
/** A few prompts can be a percent of the spending, so that reward is not smooth in a price: the last look is at every half percent. */
const LAST_STEP = 1.005;
const LAST_STEPS = 16;

/**
 * The best that one price a team, the same for the whole time, would have made of this very run: of every combination on a
 * grid the one with the most reward whose spending fits, then bettered price by price in the simulation itself, holds and
 * refusals included. One price a team is all that prices of an organisation and its teams can add up to.
 */
export function bestFixedPrices(
  traffic: Traffic,
  budgets: BudgetPlan,
  boundsNanos: readonly number[],
  [least, most]: readonly [number, number],
): Outcome & { lambdas: number[] } {
  const grid = Array.from({ length: GRID }, (_, index) => least * (most / least) ** (index / (GRID - 1)));
  let lambdas = bestOnGrid(traffic, budgets, grid);
  let best = simulate(traffic, budgets, boundsNanos, fixedPrices(lambdas));
  /** @returns whether it is better. */
  const attempt = (team: number, lambda: number): boolean => {
    const tried = lambdas.with(team, lambda);
    const outcome = simulate(traffic, budgets, boundsNanos, fixedPrices(tried));
    if (outcome.reward <= best.reward) return false;
    [best, lambdas] = [outcome, tried];
    return true;
  };
  for (const factor of FACTORS)
    for (let round = 0, moved = true; moved && round < ROUNDS; round++) {
      moved = false;
      for (let team = 0; team < lambdas.length; team++)
        for (const by of [factor, 1 / factor]) moved = attempt(team, lambdas[team]! * by) || moved;
    }
  for (let team = 0; team < lambdas.length; team++) {
    const around = lambdas[team]!;
    for (let step = -LAST_STEPS; step <= LAST_STEPS; step++) attempt(team, around * LAST_STEP ** step);
  }
  return { ...best, lambdas };
}

/** What each team would have spent and got at each price, with nothing refused; then every combination that fits. */
function bestOnGrid(traffic: Traffic, budgets: BudgetPlan, grid: readonly number[]): number[] {
  const windows = 30 / budgets.windowDays;
  const [org, ...teams] = budgets.limitsNanos.map((limit) => limit * windows);
  const tables = teams.map((limit, team) => {
    const own = traffic.requests.filter((r) => r.team === team);
    return grid.flatMap((lambda) => {
      let [spent, reward] = [0, 0];
      for (const { candidates } of own) {
        const chosen = bestAt(candidates, lambda);
        spent += chosen.costNanos;
        reward += chosen.reward;
      }
      return spent <= limit ? [{ lambda, spent, reward }] : [];
    });
  });
  let best: { reward: number; lambdas: number[] } = { reward: -1, lambdas: teams.map(() => grid.at(-1)!) };
  const search = (team: number, spent: number, reward: number, lambdas: number[]): void => {
    if (spent > org!) return;
    if (team === tables.length) {
      if (reward > best.reward) best = { reward, lambdas };
      return;
    }
    for (const row of tables[team]!) search(team + 1, spent + row.spent, reward + row.reward, [...lambdas, row.lambda]);
  };
  search(0, 0, 0, []);
  return best.lambdas;
}
