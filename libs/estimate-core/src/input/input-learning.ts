import { invariant } from '@meritorder/kernel';

/** What input tokens are made of; each has a weight that is learned: tokens of the provider for one of it. */
export interface InputFeatures {
  /** Tokens of the messages and of the tools, as counted or by the classes of their characters. */
  readonly text: number;
  readonly tools: number;
  readonly messages: number;
  readonly images: number;
  /** Tokens expected of files and audio, which have no weight: a request with some teaches nothing. Absent: none. */
  readonly unlearned?: number | undefined;
}

/** Weights of text, tools, messages, images, the preamble of tools, and the start of the answer. */
export type InputWeights = readonly [number, number, number, number, number, number];
const COUNT = 6;

/** What one believes before any report: a mean and how far off it may be. */
export interface InputPrior {
  readonly weights: InputWeights;
  readonly deviations: InputWeights;
}

/**
 * Before any usage was seen. Messages: OpenAI's cookbook has 3 (4 for early models), Llama's and Gemma's templates 4 to 8;
 * priming: 3; tools: rendered shorter than their JSON by most, behind a preamble (Anthropic lists 159 to 530 tokens); an image:
 * 258 (Gemini) to 1,600 (Anthropic).
 */
const WEIGHTS: InputWeights = [1, 0.9, 4, 1_000, 100, 3];
/** The class estimate is within .6 and 1.2 of the count for most languages; a counted text is what it is. */
const DEVIATIONS_CLASSES: InputWeights = [0.25, 0.3, 4, 600, 150, 10];
const DEVIATIONS_COUNTED: InputWeights = [0.02, 0.3, 4, 600, 150, 10];

export function inputPrior(counted: boolean, tokensPerImage: number | undefined): InputPrior {
  const image = Math.min(WEIGHTS[3], tokensPerImage ?? WEIGHTS[3]);
  const at = (weights: InputWeights): InputWeights =>
    [weights[0], weights[1], weights[2], (weights[3] / WEIGHTS[3]) * image, weights[4], weights[5]] as const;
  return { weights: at(WEIGHTS), deviations: at(counted ? DEVIATIONS_COUNTED : DEVIATIONS_CLASSES) };
}

/** What reported usage says of one model's input; JSON, constant size. */
export interface InputLearning {
  /** Decayed number of requests learned from. */
  readonly weight: number;
  /** Decayed sums of x x' / y^2 (the upper triangle, row by row) and of x / y: a regression of relative errors. */
  readonly squares: readonly number[];
  readonly products: readonly number[];
  /** The weights that follow, with the prior. */
  readonly weights: InputWeights | null;
  /** Decayed variance of ln(reported / expected). */
  readonly varianceLog: number;
  /** Decayed number of requests with a stated upper, and of those whose report was not above it. */
  readonly judged: number;
  readonly covered: number;
}

export const UNLEARNED_INPUT: InputLearning = {
  weight: 0,
  squares: Array.from({ length: (COUNT * (COUNT + 1)) / 2 }, () => 0),
  products: Array.from({ length: COUNT }, () => 0),
  weights: null,
  varianceLog: 0,
  judged: 0,
  covered: 0,
};

/** Requests after which a report counts 1/e: follows a provider's new tokenizer within some hundred requests. */
const MEMORY_REQUESTS = 500;
/** Requests before the spread is trusted for a margin. */
const TRUSTED_REQUESTS = 24;
/** Standard deviations of the log ratio in the margin: 99.9 % if it were normal, and it is not. */
const MARGIN_DEVIATIONS = 3.3;
/** Relative error of one report about a perfect fit: how much the prior counts against reports. */
const NOISE = 0.1;
/** A report further off than this is of another request than what was estimated (a part dropped, another unit). */
const LARGEST_FACTOR = 8;

function vectorOf(features: InputFeatures): readonly number[] {
  const { text, tools, messages, images } = features;
  return [text, tools, messages, images, tools > 0 ? 1 : 0, 1];
}

/** Expected input tokens of a request: not rounded. */
export function weighInput(features: InputFeatures, weights: InputWeights): number {
  return vectorOf(features).reduce((sum, x, i) => sum + x * (weights[i] as number), features.unlearned ?? 0);
}

export interface InputReport {
  readonly features: InputFeatures;
  /** All input tokens that the provider reported, of whatever kind. */
  readonly reportedTokens: number;
  /** The upper that was stated for this request, judged before learning. */
  readonly upperTokens?: number;
}

/** Learns one report of one model. */
export function learnInput(state: InputLearning, report: InputReport, prior: InputPrior): InputLearning {
  if (!(report.reportedTokens > 0) || report.features.unlearned) return state;
  const expected = Math.max(1, weighInput(report.features, state.weights ?? prior.weights));
  const reported = Math.min(expected * LARGEST_FACTOR, Math.max(expected / LARGEST_FACTOR, report.reportedTokens));
  const keep = 1 - 1 / MEMORY_REQUESTS;
  const x = vectorOf(report.features).map((value) => value / reported);
  const squares = [...state.squares];
  for (let i = 0, at = 0; i < COUNT; i++)
    for (let j = i; j < COUNT; j++, at++)
      squares[at] = (squares[at] as number) * keep + (x[i] as number) * (x[j] as number);
  const products = state.products.map((sum, i) => sum * keep + (x[i] as number));
  const weight = state.weight * keep + 1;
  const log = Math.log(reported / expected);
  const judges = report.upperTokens !== undefined;
  return {
    weight,
    squares,
    products,
    weights: solve(squares, products, prior),
    varianceLog: state.varianceLog + (log * log - state.varianceLog) / Math.min(weight, MEMORY_REQUESTS),
    judged: judges ? state.judged * keep + 1 : state.judged,
    covered: judges ? state.covered * keep + (report.reportedTokens <= report.upperTokens ? 1 : 0) : state.covered,
  };
}

/** What reports of other models say of one without any: how dense the texts are, not what it adds to them nor how far off that is. */
export function lentInput(others: InputLearning, prior: InputPrior): InputLearning {
  if (others.weights === null) return UNLEARNED_INPUT;
  const [text, tools] = others.weights;
  const [, , messages, images, preamble, start] = prior.weights;
  return { ...UNLEARNED_INPUT, weights: [text, tools, messages, images, preamble, start] };
}

/** The share of later requests whose report was at most the stated upper, 0..1; undefined before the first. */
export function inputCoverage(state: InputLearning): number | undefined {
  return state.judged > 0 ? state.covered / state.judged : undefined;
}

/** The factor on the expected tokens that reports stayed within; undefined while too few requests were seen. */
export function inputMargin(state: InputLearning): number | undefined {
  if (state.weight < TRUSTED_REQUESTS) return undefined;
  return Math.exp(MARGIN_DEVIATIONS * Math.sqrt(state.varianceLog * (1 + 8 / state.weight)));
}

/**
 * The weights of least (sum of squared relative errors) / NOISE^2 + sum of ((weight - prior) / deviation)^2, none below 0 and
 * none above four times what the prior thinks likely: Gaussian elimination of a system that the prior makes definite.
 */
function solve(squares: readonly number[], products: readonly number[], prior: InputPrior): InputWeights {
  const scale = 1 / (NOISE * NOISE);
  const rows = products.map((product, i) => {
    const belief = 1 / (prior.deviations[i] as number) ** 2;
    const row = products.map((_, j) => {
      const [low, high] = i < j ? [i, j] : [j, i];
      const at = low * COUNT - (low * (low - 1)) / 2 + (high - low);
      return scale * (squares[at] as number) + (i === j ? belief : 0);
    });
    return [...row, scale * product + belief * (prior.weights[i] as number)];
  });
  for (let i = 0; i < COUNT; i++) {
    const pivot = rows[i]?.[i] as number;
    invariant(pivot > 0, 'the normal equations of a regression with a prior are positive definite');
    for (let k = i + 1; k < COUNT; k++) {
      const factor = (rows[k]?.[i] as number) / pivot;
      for (let j = i; j <= COUNT; j++)
        (rows[k] as number[])[j] = (rows[k]?.[j] as number) - factor * (rows[i]?.[j] as number);
    }
  }
  const weights = Array.from({ length: COUNT }, () => 0);
  for (let i = COUNT - 1; i >= 0; i--) {
    let rest = rows[i]?.[COUNT] as number;
    for (let j = i + 1; j < COUNT; j++) rest -= (rows[i]?.[j] as number) * (weights[j] as number);
    weights[i] = rest / (rows[i]?.[i] as number);
  }
  const most = (i: number): number => 4 * ((prior.weights[i] as number) + (prior.deviations[i] as number));
  return weights.map((weight, i) => Math.min(Math.max(0, weight), most(i))) as unknown as InputWeights;
}
