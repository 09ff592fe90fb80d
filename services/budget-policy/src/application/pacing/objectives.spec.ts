import { EXAMPLES, type DecisionPolicy, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { decide, type ScoreCandidate, type Scored } from '@meritorder/routing-core';
import { expect, it } from 'vitest';
import { CHEAP_USD, daily, DAY_MS, DEAR_USD, Desk, HOUR_MS, MIDNIGHT_MS, usage } from './fixture.for-tests.js';
import { decisionFact, type DecisionFact } from './traffic-facts.js';

const DRAWS = { holdOut: 0.5, explore: 0.5, replica: 0.5 };
const LIMIT_USD = 10;
const STEP_MS = HOUR_MS / 6;
const PER_STEP = 16;

type Objective = DecisionPolicy['objective'];
type Setting = Pick<DecisionPolicy, 'objective' | 'usdPerQuality' | 'revenueUsd'>;

function policyOf(setting: Setting): DecisionPolicy {
  const floors = { leastQuality: 0, maxCostUsd: null, leastMarginShare: null };
  return { ...setting, ...floors, tier: null, usdPerSecondLate: 0, exploration: null };
}

function candidateOf(id: string, quality: number, usd: number, shadowCash: number): ScoreCandidate {
  const costs = { marginalUsd: usd, cashUsd: usd, fullUsd: usd, shadowCash, shadowFull: 0 };
  const busy = { gpuSeconds: 0, usdPerGpuSecond: 0, lateSeconds: 0 };
  return { id, quality, qualityVariance: 0, priorQuality: quality, outcomes: 0, ...costs, ...busy };
}

/** A choice between a dear and a cheap answer, as a router makes and records it. */
function decided(policy: DecisionPolicy, gain: number, shadowPrice: number) {
  const candidates = [
    candidateOf('dear', 0.7 + gain, DEAR_USD, shadowPrice),
    candidateOf('cheap', 0.7, CHEAP_USD, shadowPrice),
  ];
  return decide(policy, candidates, DRAWS).order;
}

function factOf(
  order: readonly Scored[],
  choice: Scored | undefined,
  { id, nowMs, objective, shadowPrice }: { id: string; nowMs: number; objective: Objective; shadowPrice: number },
): DecisionFact {
  const window = new Date(nowMs).toISOString().slice(0, 10);
  const budgets = [{ budget: 'org', window, basis: 'cash' as const, shadowPrice }];
  const record: RoutingDecisionMadeV1 = {
    ...EXAMPLES.events['routing.decision-made.v1'],
    attemptId: id,
    objective,
    decidedAt: new Date(nowMs).toISOString(),
    choice: choice?.candidate.id ?? null,
    candidates: order.map(({ candidate: { id: backend, cashUsd, fullUsd, ...numbers }, scoreUsd, valueUsd }) => ({
      backend,
      priceVersion: null,
      expectedCashUsd: cashUsd,
      expectedFullUsd: fullUsd,
      boundCashNanos: null,
      boundFullNanos: null,
      excluded: null,
      numbers,
      scoreUsd,
      valueUsd,
      budgets,
    })),
  };
  return decisionFact(record)!;
}

/** Three days of the same traffic, of which all dear answers would cost more than twice the day's money. Of the last day. */
function paced(setting: Setting) {
  const desk = new Desk(daily({ limitNanos: String(LIMIT_USD * 1e9), pacing: 'always' }));
  const policy = policyOf(setting);
  const random = seededRandom(7);
  let halfSpentAtHour = 24;
  for (let nowMs = MIDNIGHT_MS + 1_000; nowMs < MIDNIGHT_MS + 3 * DAY_MS; nowMs += STEP_MS) {
    const window = new Date(nowMs).toISOString().slice(0, 10);
    const spentUsd = () => Number(desk.totals.get(`org ${window}`)?.settledNanos ?? 0n) / 1e9;
    const shadowPrice = desk.book.budgets.get('org')?.shown ?? 0;
    const isLast = nowMs >= MIDNIGHT_MS + 2 * DAY_MS;
    const facts = Array.from({ length: PER_STEP }).flatMap((_, i) => {
      const order = decided(policy, 0.05 + 0.2 * random(), shadowPrice);
      const choice = order.find(({ candidate }) => spentUsd() + candidate.cashUsd <= LIMIT_USD);
      const id = `${nowMs}-${i}`;
      const fact = factOf(order, choice, { id, nowMs, objective: setting.objective, shadowPrice });
      if (!choice) return [fact];
      desk.spend('org', window, choice.candidate.cashUsd);
      return [fact, usage(id, nowMs, { usd: choice.candidate.cashUsd, window })];
    });
    desk.step(nowMs, facts);
    if (isLast && halfSpentAtHour === 24 && spentUsd() >= LIMIT_USD / 2)
      halfSpentAtHour = (nowMs - MIDNIGHT_MS - 2 * DAY_MS) / HOUR_MS;
  }
  return { halfSpentAtHour, price: desk.state.price! };
}

const worth = (objective: Objective, usd: number): Setting => ({ objective, usdPerQuality: usd, revenueUsd: usd });

// At $0.02 a point no gain is worth what the dear answer costs more.
it.each([0.02, 1, 100])('quality at $%d a point lasts the day: money is felt by its price alone', (usd) => {
  const { halfSpentAtHour, price } = paced(worth('quality', usd));
  expect(halfSpentAtHour).toBeGreaterThan(11);
  expect(halfSpentAtHour).toBeLessThan(13);
  // Where the last dear answer goes, with headroom: its gain in value over what it costs more.
  expect(price.bounds.max).toBeGreaterThan((0.2 * usd) / (DEAR_USD - CHEAP_USD));
});

it.each([['value'], ['margin']] as const)('%s counts money once beside its price', (objective) => {
  const { halfSpentAtHour } = paced(worth(objective, 1));
  expect(halfSpentAtHour).toBeGreaterThan(11);
  expect(halfSpentAtHour).toBeLessThan(13);
});

it('a record says what its objective counts of marginal cost', () => {
  const at = { id: 'a', nowMs: MIDNIGHT_MS, shadowPrice: 2 };
  for (const objective of ['quality', 'value', 'margin', 'cheapest'] as const) {
    const order = decided(policyOf(worth(objective, 1)), 0.1, at.shadowPrice);
    const { logged } = factOf(order, order[0], { ...at, objective });
    for (const [place, { valueUsd, marginalUsd, cashUsd }] of logged!.candidates.entries())
      expect(valueUsd - marginalUsd - at.shadowPrice * cashUsd).toBeCloseTo(order[place]!.scoreUsd, 12);
  }
});
