import { seededRandom } from '@meritorder/kernel';
import {
  emptyMagnitude,
  emptyOrgQuality,
  learnMagnitude,
  learnOutcome,
  NO_PROMPT,
  predictMagnitude,
  predictQuality,
  readPrompt,
  restoreQuality,
  snapshotQuality,
  type LearnedMagnitude,
  type OrgQuality,
  type QualityContext,
} from '@meritorder/quality-core';
import { choose, DEFAULT_EXPLORATION, scoreCandidates } from '@meritorder/routing-core';
import type { JudgedPrompt } from './routing-data.js';
import { cloudCandidate, valuePolicy } from './scored-candidate.js';
import { priceFor } from './yardsticks.js';

/** What a router has learned of quality and cost. */
export interface Learner {
  readonly models: readonly string[];
  readonly quality: OrgQuality;
  readonly costs: readonly LearnedMagnitude[];
  /** The largest cost over what was expected, by model: what a hold covers. */
  readonly worst: number[];
  readonly uses: { readonly tags: boolean; readonly text: boolean };
}

export function newLearner(models: readonly string[], uses = { tags: true, text: true }): Learner {
  return {
    models,
    quality: emptyOrgQuality(0),
    costs: models.map(() => emptyMagnitude()),
    worst: models.map(() => LEAST_WORST),
    uses,
  };
}

/** A hold covers at least this many times what is expected. */
const LEAST_WORST = 4;

const copyOf = ({ models, quality, costs, worst, uses }: Learner): Learner => ({
  models,
  quality: restoreQuality(snapshotQuality(quality))!,
  costs: structuredClone(costs),
  worst: [...worst],
  uses,
});

export function contextOf({ uses }: Learner, { prompt, tags }: JudgedPrompt): QualityContext {
  return { tags: uses.tags ? tags : [], prompt: uses.text ? readPrompt(prompt) : NO_PROMPT };
}

export function learnAnswer(learner: Learner, context: QualityContext, row: JudgedPrompt, model: number): void {
  const cost = row.costsUsd[model]!;
  const expected = predictMagnitude(learner.costs[model]!, context);
  if (expected !== undefined && learner.costs[model]!.all.weight > 30)
    learner.worst[model] = Math.max(learner.worst[model]!, (1.5 * cost) / expected);
  learnOutcome(learner.quality, { model: learner.models[model]!, context, quality: row.rewards[model]! }, 0);
  learnMagnitude(learner.costs[model]!, context, cost);
}

/** Learns every model's answer to every prompt, in the order given. */
export function trainOn(learner: Learner, prompts: readonly JudgedPrompt[]): void {
  for (const row of prompts) {
    const context = contextOf(learner, row);
    learner.models.forEach((_, model) => learnAnswer(learner, context, row, model));
  }
}

interface Options {
  values: number[];
  variances: number[];
  costs: number[];
}

function optionsOf(learner: Learner, context: QualityContext): Options {
  const predictions = learner.models.map((model) => predictQuality(learner.quality, model, context));
  return {
    values: predictions.map((p) => p.quality),
    variances: predictions.map((p) => p.variance),
    costs: learner.costs.map((own) => predictMagnitude(own, context) ?? 0),
  };
}

export interface StreamResult {
  /** By request, in the order served. */
  readonly rewards: readonly number[];
  readonly spentUsd: number;
  readonly overspendUsd: number;
  readonly rejected: number;
  readonly explored: number;
}

/** A tick of pacing, the options it looks back on, and what it keeps in hand. */
const TICK_REQUESTS = 30;
const LOOK_BACK = 1_000;
const BUFFER = 0.005;
/** Decayed weight of what was expected against what came, in requests. */
const CORRECTION_REQUESTS = 100;

/**
 * Serves a window of requests under a budget for all of them: every request is scored on what was learned and the budget's
 * shadow price, the price is solved anew every 30 requests from the options of the last 1,000 for what is left of the money and
 * the window, and a hold is refused that would not leave the rest enough for the cheapest. Only the chosen model's answer is
 * learned.
 */
export function serveWindow(
  trained: Learner,
  seen: readonly JudgedPrompt[],
  window: readonly JudgedPrompt[],
  usdPerRequest: number,
  seed: number,
): StreamResult {
  const learner = copyOf(trained);
  const random = seededRandom(seed);
  const budgetUsd = usdPerRequest * window.length;
  const recent = seen.slice(-LOOK_BACK).map((row) => optionsOf(learner, contextOf(learner, row)));
  let price = 0;
  let spentUsd = 0;
  let rejected = 0;
  let explored = 0;
  let expectedUsd = CORRECTION_REQUESTS * usdPerRequest;
  let cameUsd = expectedUsd;
  const rewards: number[] = [];
  window.forEach((row, i) => {
    const left = window.length - i;
    if (i % TICK_REQUESTS === 0) {
      const affordable = Math.max(0, budgetUsd * (1 - BUFFER) - spentUsd) / left;
      price = priceFor(recent, (affordable * expectedUsd) / cameUsd);
    }
    const context = contextOf(learner, row);
    const options = optionsOf(learner, context);
    const cheapest = options.costs.indexOf(Math.min(...options.costs));
    const restUsd = (left - 1) * options.costs[cheapest]! * 1.25;
    const free = budgetUsd - spentUsd;
    const fits = (model: number, rest: number): boolean => options.costs[model]! * learner.worst[model]! + rest <= free;
    const candidates = learner.models
      .map((id, model) => ({
        model,
        ...cloudCandidate(id, {
          quality: options.values[model]!,
          variance: options.variances[model]!,
          costUsd: options.costs[model]!,
          shadowPrice: Math.max(0, price - 1),
        }),
      }))
      .filter(({ model }) => fits(model, model === cheapest ? 0 : restUsd));
    if (candidates.length === 0) {
      rejected++;
      rewards.push(0);
      return;
    }
    const { scored } = scoreCandidates(valuePolicy(1), candidates);
    const choice = choose(scored, undefined, EXPLORATION, { holdOut: 1, explore: random() });
    if (choice.kind === 'explored') explored++;
    const model = learner.models.indexOf(choice.chosen.candidate.id);
    const cost = row.costsUsd[model]!;
    spentUsd += cost;
    expectedUsd = expectedUsd * (1 - 1 / CORRECTION_REQUESTS) + options.costs[model]!;
    cameUsd = cameUsd * (1 - 1 / CORRECTION_REQUESTS) + cost;
    rewards.push(row.rewards[model]!);
    learnAnswer(learner, context, row, model);
    recent.push(options);
    if (recent.length > LOOK_BACK) recent.shift();
  });
  return { rewards, spentUsd, overspendUsd: Math.max(0, spentUsd - budgetUsd), rejected, explored };
}

/** As services do, without a hold-out: that is the price of measuring, not of routing. */
const EXPLORATION = { ...DEFAULT_EXPLORATION, holdOutShare: 0 };
