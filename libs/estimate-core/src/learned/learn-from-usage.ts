import type { AttemptExpectation, MeteringUsageRatedV1 } from '@meritorder/contracts';
import { totalInputTokens } from '@meritorder/pricing-core';
import { learnCacheHits, UNLEARNED_HITS } from '../cache/cache-hits.js';
import { inputPrior, learnInput, UNLEARNED_INPUT } from '../input/input-learning.js';
import { learnOutput } from '../output/output-lengths.js';
import { ANY_MODEL, lengthsToLearn, POOL, type Learned } from './learned.js';

/** One attempt as it was used, with what had been expected of it. */
export interface Observation {
  readonly org: string;
  readonly task?: string | undefined;
  readonly backend: string;
  readonly model: string;
  readonly expected: AttemptExpectation;
  /** Tokens: all input of whatever kind, of it read from a cache, and all choices together. */
  readonly inputTokens: number;
  readonly cacheReadTokens: number;
  readonly outputTokens: number;
  /** The provider's own count, or the engine's; false: counted here, which teaches nothing of the input. */
  readonly reported: boolean;
  /** It ended before its own end: the answer would have been longer. */
  readonly cut: boolean;
}

/**
 * What a rated attempt teaches; undefined when nothing: usage unknown, corrected since, without an expectation, or of another
 * model than the one asked.
 */
export function observationOf(event: MeteringUsageRatedV1, ended?: { readonly cut: boolean }): Observation | undefined {
  const { usage, expected } = event;
  if (event.state !== 'confirmed' || event.cause !== 'closed' || usage === undefined || expected === undefined)
    return undefined;
  return {
    org: event.attribution.org,
    task: event.attribution.task,
    backend: event.backend,
    model: event.model,
    expected,
    inputTokens: totalInputTokens(usage),
    cacheReadTokens: usage.cacheReadTokens,
    outputTokens: usage.outputTokens,
    reported: event.usageBasis !== 'estimated',
    cut: ended?.cut ?? false,
  };
}

/** Learns one attempt. Constant time; what it teaches is judged before it is learned. */
export function learnFromUsage(learned: Learned, observed: Observation): void {
  learnLength(learned, observed);
  if (!observed.reported) return;
  learnInputOf(learned, observed);
  const { org, backend, expected } = observed;
  const hits = learned.hits.get(org, backend) ?? UNLEARNED_HITS;
  learned.hits.set(
    org,
    backend,
    learnCacheHits(hits, {
      plannedTokens: expected.cachePlannedTokens ?? expected.cacheReadTokens,
      inputTokens: observed.inputTokens,
      readTokens: observed.cacheReadTokens,
    }),
  );
}

/** Of several choices only the sum is known: each counts as their mean, and what was stated is judged by it. */
function learnLength(learned: Learned, observed: Observation): void {
  const { org, task, backend, expected, outputTokens, cut } = observed;
  // An attempt that failed before its first token says nothing of how long answers are.
  if (outputTokens === 0) return;
  learnOutput(lengthsToLearn(learned, { org, route: expected.route, task, backend }), {
    tokens: Math.ceil(outputTokens / expected.choices),
    maxTokens: expected.maxTokens,
    cut,
    stated: { p95: expected.outputP95Tokens, p99: expected.outputP99Tokens },
  });
}

function learnInputOf(learned: Learned, observed: Observation): void {
  const { org, model, expected } = observed;
  if (expected.inputFeatures === undefined) return;
  const counted = learned.settings.tokenizerOf(model) !== undefined;
  const prior = inputPrior(counted, undefined);
  const report = {
    features: expected.inputFeatures,
    reportedTokens: observed.inputTokens,
    upperTokens: expected.inputUpperTokens,
  };
  const learn = (place: string, key: string): void => {
    const state = learned.inputs.get(place, key) ?? UNLEARNED_INPUT;
    learned.inputs.set(place, key, learnInput(state, report, prior));
  };
  learn(org, model);
  if (learned.settings.sharesLearning(org)) learn(POOL, model);
  if (!counted) learn(org, ANY_MODEL);
}
