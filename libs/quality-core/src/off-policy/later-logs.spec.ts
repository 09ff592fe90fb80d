import { seededRandom } from '@meritorder/kernel';
import { expect, it } from 'vitest';
import { emptyOrgQuality, learnOutcome, predictQuality, UNKNOWN_PRIOR } from '../learning/quality.js';
import { NO_PROMPT } from '../prompt/prompt-features.js';
import { estimateOffPolicy, type LoggedDecision } from './estimate.js';

const MODELS = ['small', 'middle', 'large'];
/** With which the logged policy chose them. */
const LOGGED = [0.5, 0.3, 0.2];
const EXPLORED = 0.1;
const TAGS = 20;
const [EARLIER, LATER, LOGS] = [900, 2_000, 1_000];

/** Hardly different, so that what looks best on few outcomes is often chance. */
const qualities = Array.from({ length: TAGS }, (_, tag) => MODELS.map((_m, m) => 0.5 + 0.1 * Math.sin(3 * tag + m)));

interface Served {
  tag: number;
  model: number;
  good: boolean;
}

function serve(count: number, random: () => number): Served[] {
  return Array.from({ length: count }, () => {
    const tag = Math.floor(random() * TAGS);
    const draw = random();
    const model = draw < LOGGED[0]! ? 0 : draw < LOGGED[0]! + LOGGED[1]! ? 1 : 2;
    return { tag, model, good: random() < qualities[tag]![model]! };
  });
}

/** By tag what is expected of each model, learned from a log, and with which a policy that follows it takes each. */
function fit(log: readonly Served[]) {
  const state = emptyOrgQuality(0);
  const context = (tag: number) => ({ tags: [`tag ${tag}`], prompt: NO_PROMPT });
  for (const { tag, model, good } of log)
    learnOutcome(state, { model: MODELS[model]!, context: context(tag), quality: good ? 1 : 0 }, 0);
  return qualities.map((_, tag) => {
    const expected = MODELS.map((model) => predictQuality(state, model, context(tag), UNKNOWN_PRIOR).quality);
    const best = expected.indexOf(Math.max(...expected));
    const chances = MODELS.map((_m, m) => EXPLORED / MODELS.length + (m === best ? 1 - EXPLORED : 0));
    return { expected, chances };
  });
}

type Fitted = ReturnType<typeof fit>;

const weighed = (values: readonly number[], by: readonly number[]): number =>
  values.reduce((sum, value, i) => sum + value * by[i]!, 0);

const logFor = (fitted: Fitted, log: readonly Served[]): LoggedDecision[] =>
  log.map(({ tag, model, good }) => {
    const { expected, chances } = fitted[tag]!;
    return {
      probability: LOGGED[model]!,
      policyProbability: chances[model]!,
      outcome: good ? 1 : 0,
      expectedOfLogged: expected[model]!,
      expectedOfPolicy: weighed(expected, chances),
    };
  });

it('the value of a policy that was learned lies in the 95 % intervals of later, disjoint logs in 93 to 97 % of 1,000 cases, and too seldom in those of the log that it was learned from', () => {
  const random = seededRandom(21);
  const ESTIMATES = ['ips', 'snips', 'doublyRobust'] as const;
  const covered = { later: { ips: 0, snips: 0, doublyRobust: 0 }, same: { ips: 0, snips: 0, doublyRobust: 0 } };
  let judgedBySame = 0;
  for (let i = 0; i < LOGS; i++) {
    const earlier = serve(EARLIER, random);
    const fitted = fit(earlier);
    const truth = weighed(
      fitted.map(({ chances }, tag) => weighed(qualities[tag]!, chances)),
      fitted.map(() => 1 / TAGS),
    );
    const results = {
      later: estimateOffPolicy(logFor(fitted, serve(LATER, random))),
      same: estimateOffPolicy(logFor(fitted, earlier)),
    };
    expect(results.later.enough).toBe(true);
    if (results.same.enough) judgedBySame++;
    for (const when of ['later', 'same'] as const) {
      const result = results[when];
      if (!result.enough) continue;
      for (const key of ESTIMATES) if (result[key].low <= truth && truth <= result[key].high) covered[when][key]++;
    }
  }
  for (const key of ESTIMATES) {
    expect(covered.later[key]).toBeGreaterThanOrEqual(0.93 * LOGS);
    expect(covered.later[key]).toBeLessThanOrEqual(0.97 * LOGS);
    expect(covered.same[key]).toBeLessThan(0.85 * judgedBySame);
  }
  expect(judgedBySame).toBeGreaterThan(100);
});
