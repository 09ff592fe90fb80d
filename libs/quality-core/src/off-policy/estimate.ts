import { invariant } from '@meritorder/kernel';

/** One logged decision with its outcome, seen from another policy. */
export interface LoggedDecision {
  /** With which the logged choice was made; above 0. */
  readonly probability: number;
  /** With which the policy under test makes the same choice. */
  readonly policyProbability: number;
  /** What came of it: quality, or USD. */
  readonly outcome: number;
  /** What a model fitted on earlier, disjoint logs expects of the logged choice, and of the policy under test. */
  readonly expectedOfLogged: number;
  readonly expectedOfPolicy: number;
}

export interface OffPolicyEstimate {
  readonly value: number;
  /** 95 %. */
  readonly low: number;
  readonly high: number;
}

type Estimator = 'ips' | 'snips' | 'doublyRobust';

export type OffPolicyResult =
  | ({
      readonly enough: true;
      readonly effectiveSample: number;
      readonly clippedShare: number;
      /** What the logged decisions brought. */
      readonly logged: OffPolicyEstimate;
      /** Each estimate less that, with an interval of the difference: both are of the same decisions. */
      readonly change: Readonly<Record<Estimator, OffPolicyEstimate>>;
    } & Readonly<Record<Estimator, OffPolicyEstimate>>)
  | { readonly enough: false; readonly effectiveSample: number };

/** Weights above this are cut: economics, section 3. A share of cut weights is a bias, and is told. */
const LARGEST_WEIGHT = 50;
export const LEAST_EFFECTIVE_SAMPLE = 200;
const NORMAL_95 = 1.959964;

/**
 * What a policy would have brought per decision, from the log of another: inverse propensity, self-normalised (Swaminathan and
 * Joachims 2015), and doubly robust (Dudik, Langford and Li 2011). Intervals are normal, from the influence of each decision.
 * Refused below an effective sample (Kish) of 200.
 *
 * @throws InvariantError when a logged probability is not above 0
 */
export function estimateOffPolicy(log: readonly LoggedDecision[]): OffPolicyResult {
  let sum = 0;
  let squares = 0;
  let clipped = 0;
  const weights = log.map(({ probability, policyProbability }) => {
    invariant(probability > 0 && probability <= 1, `a choice with probability ${probability} was not made`);
    const full = policyProbability / probability;
    if (full > LARGEST_WEIGHT) clipped++;
    const weight = Math.min(LARGEST_WEIGHT, full);
    sum += weight;
    squares += weight * weight;
    return weight;
  });
  const effectiveSample = squares > 0 ? (sum * sum) / squares : 0;
  if (effectiveSample < LEAST_EFFECTIVE_SAMPLE) return { enough: false, effectiveSample };
  const meanWeight = sum / log.length;
  const logged = influenceOf(log.map((d) => d.outcome));
  const ips = influenceOf(log.map((d, i) => (weights[i] as number) * d.outcome));
  const normalised = ips.value / meanWeight;
  const snips = {
    value: normalised,
    influences: log.map((d, i) => ((weights[i] as number) * (d.outcome - normalised)) / meanWeight),
  };
  const doublyRobust = influenceOf(
    log.map((d, i) => d.expectedOfPolicy + (weights[i] as number) * (d.outcome - d.expectedOfLogged)),
  );
  const less = ({ value, influences }: Influence): OffPolicyEstimate =>
    around(
      value - logged.value,
      influences.map((influence, i) => influence - (logged.influences[i] as number)),
    );
  return {
    enough: true,
    effectiveSample,
    clippedShare: clipped / log.length,
    logged: around(logged.value, logged.influences),
    ips: around(ips.value, ips.influences),
    snips: around(snips.value, snips.influences),
    doublyRobust: around(doublyRobust.value, doublyRobust.influences),
    change: { ips: less(ips), snips: less(snips), doublyRobust: less(doublyRobust) },
  };
}

/** An estimate with how much each decision moves it. */
interface Influence {
  readonly value: number;
  readonly influences: readonly number[];
}

function influenceOf(values: readonly number[]): Influence {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { value: mean, influences: values.map((value) => value - mean) };
}

function around(value: number, influences: readonly number[]): OffPolicyEstimate {
  const squares = influences.reduce((sum, influence) => sum + influence * influence, 0);
  const half = (NORMAL_95 * Math.sqrt(squares)) / influences.length;
  return { value, low: value - half, high: value + half };
}
