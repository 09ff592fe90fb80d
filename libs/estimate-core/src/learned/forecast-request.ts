import type { AttemptExpectation, BackendConfig, ChatRequest, EmbeddingsRequest } from '@meritorder/contracts';
import { splitInput, UNLEARNED_HITS, type InputSplit } from '../cache/cache-hits.js';
import { cachePolicyOf, NO_CACHE, type CachePolicy } from '../cache/cache-policy.js';
import {
  emptyPrefixCache,
  NO_PLAN,
  planCache,
  placesSent,
  type CachePlan,
  type SentPlaces,
} from '../cache/prefix-cache.js';
import { promptPrefixOf, type PromptPrefix } from '../cache/prompt-prefix.js';
import { estimateInput, type InputEstimate } from '../input/estimate-input.js';
import { inputCoverage } from '../input/input-learning.js';
import { embeddingsPartsOf, inputPartsOf, type PlaceOfPart } from '../input/input-parts.js';
import { readInput } from '../input/input-reading.js';
import { estimateOutput, ExpectedLengths, type OutputEstimate } from '../output/output-lengths.js';
import { inputLearningOf, lengthsOf, rememberSent, type Learned } from './learned.js';

/** What a forecast needs to know of a backend. */
export type ForecastBackend = Pick<
  BackendConfig,
  | 'id'
  | 'kind'
  | 'provider'
  | 'model'
  | 'templateTokensPerMessage'
  | 'maxTokensPerImage'
  | 'maxTokensPerFile'
  | 'maxTokensPerAudio'
  | 'maxOutputTokens'
>;

export interface ForecastRequest {
  /** The request, or how one of another kind reads as a chat completion. */
  readonly body: ChatRequest;
  /** Of embeddings: their input. It is the whole cost, and no prompt cache knows it. */
  readonly embeddings?: EmbeddingsRequest | undefined;
  /** Of another kind than chat: where a part of `body` is in the request as it came. */
  readonly placeOf?: PlaceOfPart | undefined;
  readonly org: string;
  readonly route: string;
  readonly task?: string | undefined;
}

/** What one backend is expected to need for a request, in tokens, with where each figure comes from. */
export interface BackendForecast {
  readonly input: InputEstimate;
  /** Of the requests judged, the share whose input stayed within the stated upper, 0..1; undefined before the first. */
  readonly inputCoverage: { readonly share: number; readonly judged: number } | undefined;
  readonly split: InputSplit;
  readonly plan: CachePlan;
  /** Of one choice, at most what the request and the backend allow. */
  readonly output: OutputEstimate;
  /** The most output tokens of one choice that the request and the backend allow. */
  readonly maxTokens: number;

  /** The same as the router's ranking takes it: expectations score, the bound reserves. */
  readonly inputTokensExpected: number;
  /** Of them, those that must fit its context together: of embeddings the largest input. */
  readonly contextTokensExpected: number;
  readonly cacheReadTokensExpected: number;
  readonly cacheWriteTokensExpected: number;
  readonly inputTokensBound: number | undefined;
  readonly inputUnbounded: string | undefined;
  readonly inputTokensUpper: number;
  readonly outputTokensExpected: number;
  readonly outputTokensP95: number;
  readonly outputTokensP99: number;
  /** Of answers that are cut elsewhere than `outputTokensExpected` is. */
  readonly outputLengths: ExpectedLengths;
}

/** A request, read once; every backend's forecast is made when it is asked for, and kept. */
export interface RequestForecast {
  of(backend: ForecastBackend): BackendForecast;
  /** For the record of an attempt, so that whoever hears of its usage can learn from it. */
  expectation(backend: ForecastBackend, maxTokens: number): Omit<AttemptExpectation, 'route' | 'maxTokens' | 'choices'>;
  /**
   * The backend was sent the request: its prompt cache may know the conversation from now on.
   * @returns what it may know, for others that forecast (`rememberSent`)
   */
  sentTo(backend: ForecastBackend, nowMs: number): readonly SentPlaces[];
}

const NOTHING_SENT = emptyPrefixCache(0);

/** Reads a request and forecasts it. Memory only; the time is bounded for any text, see README.md. */
export function forecastRequest(learned: Learned, request: ForecastRequest, nowMs: number): RequestForecast {
  const { body, org, embeddings, placeOf } = request;
  const reading = readInput(embeddings ? embeddingsPartsOf(embeddings) : inputPartsOf(body, placeOf));
  const policyOf = (backend: ForecastBackend): CachePolicy => (embeddings ? NO_CACHE : cachePolicyOf(backend));
  const known = new Map<string, BackendForecast>();
  let prefix: PromptPrefix | undefined;
  const prefixOf = (): PromptPrefix => (prefix ??= promptPrefixOf(body));

  const forecast = (backend: ForecastBackend): BackendForecast => {
    const learning = inputLearningOf(learned, org, backend.model, backend.maxTokensPerImage);
    const input = estimateInput(reading, backend, learned.settings.tokenizerOf(backend.model), learning);
    const share = learning === undefined ? undefined : inputCoverage(learning);
    const policy = policyOf(backend);
    const cache = learned.caches.get(org, backend.id) ?? NOTHING_SENT;
    const plan = policy.kind === 'none' ? NO_PLAN : planCache(prefixOf(), input.expected, cache, policy, nowMs);
    const split = splitInput(input.expected, plan, learned.hits.get(org, backend.id) ?? UNLEARNED_HITS);
    const maxTokens = Math.min(
      body.max_completion_tokens ?? body.max_tokens ?? backend.maxOutputTokens,
      backend.maxOutputTokens,
    );
    const lengths = lengthsOf(learned, { ...request, backend: backend.id });
    const output = estimateOutput(lengths, maxTokens);
    return {
      input,
      inputCoverage: share === undefined || learning === undefined ? undefined : { share, judged: learning.judged },
      split,
      plan,
      output,
      maxTokens,
      inputTokensExpected: input.expected,
      contextTokensExpected: Math.ceil(input.expected * (reading.parts.largestShare ?? 1)),
      cacheReadTokensExpected: split.cacheRead,
      cacheWriteTokensExpected: split.cacheWrite5m + split.cacheWrite1h,
      inputTokensBound: input.bound,
      inputUnbounded: input.unbounded,
      inputTokensUpper: input.upper,
      outputTokensExpected: output.expected,
      outputTokensP95: output.p95,
      outputTokensP99: output.p99,
      outputLengths: new ExpectedLengths(lengths),
    };
  };
  const of = (backend: ForecastBackend): BackendForecast => {
    let found = known.get(backend.id);
    if (found === undefined) {
      found = forecast(backend);
      known.set(backend.id, found);
    }
    return found;
  };
  return {
    of,
    expectation(backend, maxTokens) {
      const { input, plan, split, output } = of(backend);
      const tokens = (value: number): number => Math.round(Math.min(value, maxTokens));
      return {
        inputTokens: input.expected,
        inputUpperTokens: input.upper,
        inputFeatures: {
          text: Math.round(input.features.text),
          tools: Math.round(input.features.tools),
          messages: input.features.messages,
          images: input.features.images,
          ...(input.features.unlearned ? { unlearned: Math.round(input.features.unlearned) } : {}),
        },
        cacheReadTokens: Math.round(split.cacheRead),
        cachePlannedTokens: Math.round(plan.read),
        outputTokens: tokens(output.expected),
        outputP95Tokens: tokens(output.p95),
        outputP99Tokens: tokens(output.p99),
      };
    },
    sentTo(backend, sentAtMs) {
      const policy = policyOf(backend);
      if (policy.kind === 'none') return [];
      const sent = placesSent(prefixOf(), policy, sentAtMs);
      rememberSent(learned, org, backend.id, sent);
      return sent;
    },
  };
}
