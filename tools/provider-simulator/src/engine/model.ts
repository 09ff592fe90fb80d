import { behaviourSchema, type Behaviour, type ModelConfig } from '../config.js';
import { hashText, Random } from '../text/random.js';
import { Gate, RateWindow, Slots } from './admission.js';
import { leadingBlocks, PrefixCache, type Block } from './prefix-cache.js';
import { invalid, Refusal } from './refusal.js';

const REAL_CHUNK_MS = 50;
const WORDS_PER_UNPACED_CHUNK = 8;

/** Every call of a model is counted once when it arrives and once when it is over. */
export interface Counts {
  received: number;
  completed: number;
  cut: number;
  cancelled: number;
  /** Left before anything was processed; not charged. */
  abandoned: number;
  refused: Record<string, number>;
  promptTokens: number;
  generatedTokens: number;
}

/** What chance has in store for one call. */
export interface Luck {
  errorStatus: number | undefined;
  hang: boolean;
  /** Of a line of a batch. */
  expires: boolean;
  cutAnswer: boolean;
  interruption: 'cut' | 'stall' | undefined;
  /** Where in the reply the interruption comes, in [0, 1). */
  position: number;
  /** Factor on all times. */
  slowness: number;
}

/** A configured model and what it is doing now. */
export class Model {
  readonly name: string;
  readonly config: ModelConfig;
  readonly gate = new Gate();
  readonly slots: Slots;
  readonly counts: Counts = {
    received: 0,
    completed: 0,
    cut: 0,
    cancelled: 0,
    abandoned: 0,
    refused: {},
    promptTokens: 0,
    generatedTokens: 0,
  };
  /** Tokens of the calls being processed. */
  kvTokens = 0;
  hanging = 0;
  behaviour: Behaviour;
  readonly #rate = new RateWindow();
  readonly #cache: PrefixCache;
  readonly #random: Random;
  readonly #timeScale: number;

  constructor(name: string, config: ModelConfig, seed: number, timeScale: number) {
    this.name = name;
    this.config = config;
    this.behaviour = config;
    this.slots = new Slots(config.maxConcurrency);
    this.#cache = new PrefixCache(config.promptCacheBlocks, (config.promptCacheSeconds * 1_000) / timeScale);
    this.#random = new Random(hashText(name, seed));
    this.#timeScale = timeScale;
  }

  /** Changes faults and speeds; what is not named stays. @throws Error when a field is wrong. */
  setBehaviour(change: unknown): void {
    const known = behaviourSchema.partial().parse(change);
    const named = Object.fromEntries(Object.keys(change as object).map((key) => [key, known[key as keyof Behaviour]]));
    this.behaviour = { ...this.behaviour, ...named };
    this.slots.setLimit(this.behaviour.maxConcurrency);
  }

  /** @throws Refusal 429 above the requests a minute. */
  takeRate(nowMs: number): void {
    const waitMs = this.#rate.take(this.behaviour.rateLimit, nowMs, this.#timeScale);
    if (waitMs > 0) {
      const limit = `${this.behaviour.rateLimit} requests a minute`;
      throw new Refusal(429, 'rate-limited', `Rate limit of ${limit} reached for ${this.name}.`, {
        retryAfterMs: waitMs,
      });
    }
  }

  get rateRemaining(): number {
    return this.#rate.remaining(this.behaviour.rateLimit);
  }

  /** The largest output of a call. @throws Refusal 400 when prompt and output cannot fit. */
  outputLimit(promptTokens: number, asked: number | undefined): number {
    const { maxOutputTokens, contextTokens = Infinity, contextLengthError } = this.config;
    if (asked !== undefined && asked > maxOutputTokens) {
      throw invalid(`max_tokens is too large: ${asked}. ${this.name} writes at most ${maxOutputTokens}.`, 'max_tokens');
    }
    const needed = promptTokens + (contextLengthError ? (asked ?? 0) : 0);
    if (needed > contextTokens) {
      throw new Refusal(
        400,
        'context-length',
        `This model's maximum context length is ${contextTokens} tokens, but ${needed} were requested` +
          ` (${promptTokens} in the prompt, ${asked ?? 0} for the answer).`,
        { field: 'messages' },
      );
    }
    return Math.min(asked ?? maxOutputTokens, contextTokens - promptTokens);
  }

  /** The same number of draws for every call, so that changing one rate leaves the other faults where they were. */
  draw(): Luck {
    const random = this.#random;
    const { errorRate, errorStatuses, hangRate, cutAnswerRate, cutStreamRate, stallStreamRate, latencyJitter } =
      this.behaviour;
    const { batchExpireRate } = this.behaviour;
    const fails = random.next() < errorRate;
    const status = errorStatuses[random.below(errorStatuses.length)]!;
    const hang = random.next() < hangRate;
    const cutAnswer = random.next() < cutAnswerRate;
    const cut = random.next() < cutStreamRate;
    const stall = random.next() < stallStreamRate;
    const position = random.next();
    const deviation = random.normal() * latencyJitter;
    const expires = batchExpireRate > 0 && random.next() < batchExpireRate;
    return {
      errorStatus: fails ? status : undefined,
      hang,
      expires,
      cutAnswer,
      interruption: cut ? 'cut' : stall ? 'stall' : undefined,
      position,
      slowness: Math.exp(deviation - latencyJitter ** 2 / 2),
    };
  }

  /** Of a batch that was taken. No draw unless it may be cut, so that other faults stay where they were. */
  drawBatchCut(): boolean {
    const { batchCutRate } = this.behaviour;
    return batchCutRate > 0 && this.#random.next() < batchCutRate;
  }

  /** Splits the prompt of a caching model into blocks and finds those that it has seen. */
  readPrompt(texts: string[], nowMs: number): { blocks: Block[]; cachedTokens: number; cacheableTokens: number } {
    if (!this.config.promptCache) return { blocks: [], cachedTokens: 0, cacheableTokens: 0 };
    const blocks = leadingBlocks(texts);
    const hits = this.#cache.leadingHits(blocks, nowMs);
    return {
      blocks,
      cachedTokens: hits === 0 ? 0 : blocks[hits - 1]!.tokensUpToEnd,
      cacheableTokens: blocks.at(-1)?.tokensUpToEnd ?? 0,
    };
  }

  rememberPrompt(blocks: Block[], nowMs: number): void {
    if (blocks.length > 0) this.#cache.store(blocks, nowMs);
  }

  /** Real milliseconds from the start of processing to the first token. */
  firstTokenMs(tokensToRead: number, slowness: number): number {
    const { firstTokenMs, inputTokensPerSecond } = this.behaviour;
    const readingMs = inputTokensPerSecond === 0 ? 0 : (tokensToRead / inputTokensPerSecond) * 1_000;
    return ((firstTokenMs + readingMs) * slowness) / this.#timeScale;
  }

  /** Real milliseconds a token; 0 = as fast as possible. */
  tokenMs(slowness: number): number {
    const { outputTokensPerSecond } = this.behaviour;
    return outputTokensPerSecond === 0 ? 0 : ((1_000 / outputTokensPerSecond) * slowness) / this.#timeScale;
  }

  chunkTokens(tokenMs: number): number {
    if (this.config.wordsPerChunk !== undefined) return this.config.wordsPerChunk;
    return tokenMs === 0 ? WORDS_PER_UNPACED_CHUNK : Math.max(1, Math.round(REAL_CHUNK_MS / tokenMs));
  }
}
