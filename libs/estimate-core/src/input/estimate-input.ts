import type { ExactTokenizer } from './density-bands.js';
import {
  inputMargin,
  inputPrior,
  UNLEARNED_INPUT,
  weighInput,
  type InputFeatures,
  type InputLearning,
} from './input-learning.js';
import { expectedInFiles, mostInParts, unboundedPart, type PartSettings } from './counted-parts.js';
import type { InputReading, TextBasis } from './input-reading.js';

/** Where a figure comes from; `learned`: classes, and what reported usage taught about them. */
export type InputBasis = TextBasis | 'learned';

export interface InputEstimate {
  /** Tokens, whole. */
  readonly expected: number;
  /** Tokens that the input stays under in every text of the adversarial corpus; never above `bound`. */
  readonly upper: number;
  /**
   * The sound bound: UTF-8 bytes of the text and of what nobody knows (a token stands for at least one), template, images, files
   * and audio, and what came as tokens.
   * Undefined where a part has none: an image, a file or audio without a configured most, video.
   */
  readonly bound: number | undefined;
  /** Why there is no bound: the first part without one, its place, and what to do about it. */
  readonly unbounded?: string | undefined;
  readonly basis: InputBasis;
  /** What it is made of, for `learnInput`. */
  readonly features: InputFeatures;
  /** UTF-16 units looked at by the one pass, and given to the exact tokenizer. */
  readonly visitedUnits: number;
  readonly countedUnits: number;
}

/** What a backend adds to the text, as configured. */
export interface InputSettings extends PartSettings {
  /** The most tokens that the chat template adds to each message. */
  readonly templateTokensPerMessage: number;
}

/** The most tokens around the conversation (start of the text, start of the answer). */
const PRIMING_TOKENS_MOST = 16;
/**
 * The most tokens of a provider's own prompt for the use of tools (Anthropic lists 159 to 530), and around each tool (its
 * rendering as a declaration, of built-in ones their own prompt, up to about 750).
 */
const TOOL_PREAMBLE_TOKENS_MOST = 640;
const AROUND_TOOL_TOKENS_MOST = 32;
const BUILT_IN_TOOLS_TOKENS_MOST = 768;
/**
 * Of documents that the answer is to cite, the provider's own prompt for that, and the marks around each piece. Anthropic says
 * "a slight increase" and no figure: as much as for tools is held for the one, and half of what is around a tool for the other.
 */
const CITING_PREAMBLE_TOKENS_MOST = 640;
const AROUND_CITED_PIECE_TOKENS_MOST = 16;
/** No learned margin on classes is narrower: a tokenizer sees texts tomorrow that it did not see today. */
const SMALLEST_MARGIN = 1.1;
/** On the most that classes allow: random mixtures of scripts were up to 2 % above it, where one ends and another begins. */
const MOST_MARGIN = 1.05;
/** Blocks up to this density are ordinary text, for which the learned margin stands; denser ones take the most of their classes. */
const ORDINARY_DENSITY = 0.6;

/**
 * The input tokens of a request at one backend. With a public tokenizer short texts are counted and long ones calibrated by
 * counted slices; without one the classes of the characters are weighed as this model's reported usage taught. Template, tools
 * and images are weighed with what was learned in either case.
 */
export function estimateInput(
  reading: InputReading,
  settings: InputSettings,
  tokenizer: ExactTokenizer | undefined,
  learned: InputLearning = UNLEARNED_INPUT,
): InputEstimate {
  const tokens = reading.tokens(tokenizer);
  const { parts, bytes } = reading;
  const given = parts.givenTokens ?? 0;
  const unlearned = expectedInFiles(parts, settings);
  const features = {
    text: tokens.text + given,
    tools: tokens.tools,
    messages: parts.messages,
    images: parts.images,
    ...(unlearned > 0 ? { unlearned } : {}),
  };
  const weights = learned.weights ?? inputPrior(tokenizer !== undefined, settings.maxTokensPerImage).weights;
  const around = aroundMost(reading, settings);
  const bound = around === undefined ? undefined : bytes + around;
  const textual = weights[0] * features.text + weights[1] * features.tools;
  const weighed = Math.max(1, Math.round(weighInput(features, weights) - Math.max(0, textual - bytes - given)));
  const expected = bound === undefined ? weighed : Math.min(weighed, bound);
  const ofText = tokens.basis === 'classes' ? classesUpper(reading, learned, tokens.upper) : tokens.upper;
  const margin = tokens.basis === 'classes' ? undefined : inputMargin(learned);
  const upper = Math.max(
    Math.min(Math.ceil(ofText), bytes) + (around ?? weighed),
    // Where usage tells that more is added than anybody configured.
    margin === undefined ? expected : Math.ceil(weighed * margin),
  );
  return {
    expected,
    upper: bound === undefined ? upper : Math.min(upper, bound),
    bound,
    ...(bound === undefined ? { unbounded: unboundedPart(parts, settings) } : {}),
    basis: tokens.basis === 'classes' && learned.weight > 0 ? 'learned' : tokens.basis,
    features,
    visitedUnits: tokens.visitedUnits,
    countedUnits: tokens.countedUnits,
  };
}

/** The most tokens that are not text. */
function aroundMost({ parts }: InputReading, settings: InputSettings): number | undefined {
  const counted = mostInParts(parts, settings);
  if (counted === undefined) return undefined;
  const tools =
    parts.toolTexts.length === 0
      ? 0
      : TOOL_PREAMBLE_TOKENS_MOST +
        parts.tools * AROUND_TOOL_TOKENS_MOST +
        parts.builtInTools * BUILT_IN_TOOLS_TOKENS_MOST;
  const template = parts.messages * settings.templateTokensPerMessage + PRIMING_TOKENS_MOST;
  const citedPieces = parts.citedPieces ?? 0;
  const citing = citedPieces && CITING_PREAMBLE_TOKENS_MOST + citedPieces * AROUND_CITED_PIECE_TOKENS_MOST;
  return template + counted + tools + citing + parts.unknownBytes + (parts.givenTokens ?? 0);
}

/** The learned margin on blocks of ordinary text, the most that the classes allow on all others and until enough was learned. */
function classesUpper(reading: InputReading, learned: InputLearning, unlearned: number): number {
  const margin = inputMargin(learned);
  const ratio = Math.max(learned.weights?.[0] ?? 1, learned.weights?.[1] ?? 0);
  if (margin === undefined) return unlearned * MOST_MARGIN * Math.max(1, ratio);
  const blocks = reading.blocks();
  let upper = 0;
  for (let i = 0; i < blocks.count; i++) {
    const expected = blocks.expected[i] as number;
    const ordinary = expected <= ORDINARY_DENSITY * (blocks.units[i] as number);
    upper += ordinary
      ? expected * ratio * Math.max(SMALLEST_MARGIN, margin)
      : (blocks.most[i] as number) * MOST_MARGIN * Math.max(1, ratio);
  }
  return upper;
}
