import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { picosPerRequest, picosPerToken, type Prices } from './billing/prices.js';

const rate = z.number().min(0).max(1);
const perSecond = z.number().min(0);
const errorStatus = z.literal([500, 503, 529]);

/** Faults and speeds: what `POST /control/faults` may change while the simulator runs. */
export const behaviourSchema = z.strictObject({
  /** Prefill speed in tokens a second; 0 = as fast as possible. */
  inputTokensPerSecond: perSecond.default(0),
  /** Decode speed of each choice in tokens a second; 0 = as fast as possible. */
  outputTokensPerSecond: perSecond.default(0),
  /** Time to the first token on top of prefill. */
  firstTokenMs: z.number().min(0).default(0),
  /** Standard deviation of the logarithm of a factor (mean 1) on all of a call's times. */
  latencyJitter: z.number().min(0).max(3).default(0),
  /** Share of calls answered with one of `errorStatuses`, before anything is charged. */
  errorRate: rate.default(0),
  errorStatuses: z.array(errorStatus).min(1).default([500, 503, 529]),
  /** Requests a minute; more get 429 with Retry-After. 0 = no limit. */
  rateLimit: z.number().int().min(0).default(0),
  /** Share of streams whose socket is destroyed between the first token and the last. */
  cutStreamRate: rate.default(0),
  /** Share of answers that are produced and charged, but whose socket is destroyed instead of sending them. */
  cutAnswerRate: rate.default(0),
  /** Share of calls that never get an answer and are not processed. */
  hangRate: rate.default(0),
  /** Share of streams that fall silent between the first token and the last, with the connection left open. */
  stallStreamRate: rate.default(0),
  /** `always`: the answer carries no usage, as with some engines. It is on the invoice all the same. */
  omitUsage: z.enum(['never', 'always']).default('never'),
  /** Share of a batch's lines that are not processed in time: they expire and are not charged. */
  batchExpireRate: rate.default(0),
  /** Share of batches that are taken, but whose socket is destroyed instead of saying so. */
  batchCutRate: rate.default(0),
  /** Calls processed at once; 0 = no limit. */
  maxConcurrency: z.number().int().min(0).default(0),
  /** What happens to a call above `maxConcurrency`: 429 at once, or wait in line. */
  overload: z.enum(['queue', 'reject']).default('queue'),
  /** Calls that may wait in line; more get 429. */
  maxQueue: z.number().int().min(0).default(10_000),
});

function price(parsePrice: (text: string) => bigint) {
  return z.string('a price is a quoted decimal such as "0.40"').transform((text, context) => {
    try {
      return parsePrice(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
}

const pricesSchema = z
  .strictObject({
    /** USD per 1M tokens. */
    input: price(picosPerToken),
    cachedInput: price(picosPerToken).optional(),
    cacheWrite: price(picosPerToken).optional(),
    output: price(picosPerToken).optional(),
    /** USD per request. */
    perRequest: price(picosPerRequest).optional(),
  })
  .transform((given) => ({
    input: given.input,
    cachedInput: given.cachedInput ?? given.input,
    cacheWrite: given.cacheWrite ?? given.input,
    output: given.output,
    perRequest: given.perRequest ?? 0n,
  }));

const modelSchema = z
  .strictObject({
    ...behaviourSchema.shape,
    kind: z.enum(['chat', 'embedding']).default('chat'),
    prices: pricesSchema,
    /** Of what comes in a batch. Default: half of `prices`. */
    batchPrices: pricesSchema.optional(),
    /** Of Bedrock: a job with fewer records fails. */
    batchMinRecords: z.number().int().min(1).default(1),
    /** Prompt and output together; absent = no limit. */
    contextTokens: z.number().int().positive().optional(),
    /** false: output is clipped to the window instead of refusing prompt + max_tokens above it. */
    contextLengthError: z.boolean().default(true),
    /** The largest max_tokens accepted, and the limit of a call that names none. */
    maxOutputTokens: z.number().int().positive().default(100_000),
    outputLength: z
      .strictObject({
        median: z.number().positive().default(120),
        sigma: z.number().min(0).max(5).default(0.7),
        max: z.number().int().positive().default(4_000),
      })
      .prefault({}),
    /** Words in a streamed chunk; default: 8 when as fast as possible, otherwise what 50 ms produce. */
    wordsPerChunk: z.number().int().positive().optional(),
    promptCache: z.boolean().default(false),
    promptCacheSeconds: z.number().positive().default(300),
    promptCacheBlocks: z.number().int().positive().default(100_000),
    tokensPerImage: z.number().int().min(0).default(85),
    /** Usage of OpenAI's wire says what the call is charged, as OpenRouter's does. */
    statesCost: z.boolean().default(false),
    embeddingDimensions: z.number().int().min(1).max(4_096).default(64),
    /** Tokens that fit in the engine's memory: the denominator of the cache usage in /metrics. */
    kvCacheTokens: z.number().int().positive().default(200_000),
  })
  .transform((model, context) => {
    const output = model.prices.output ?? (model.kind === 'embedding' ? 0n : undefined);
    if (output === undefined) {
      context.addIssue({ code: 'custom', path: ['prices', 'output'], message: 'a chat model needs an output price' });
      return z.NEVER;
    }
    const prices: Prices = { ...model.prices, output };
    const inBatches = model.batchPrices ?? half(prices);
    return { ...model, prices, batchPrices: { ...inBatches, output: inBatches.output ?? 0n } satisfies Prices };
  });

/** What providers charge for what may wait a day. */
function half(prices: Prices): Prices {
  const { input, cachedInput, cacheWrite, output, perRequest } = prices;
  return {
    input: input / 2n,
    cachedInput: cachedInput / 2n,
    cacheWrite: cacheWrite / 2n,
    output: output / 2n,
    perRequest: perRequest / 2n,
  };
}

export const configSchema = z.strictObject({
  /** Who sends the invoice; part of every call id. */
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
    .default('simulator'),
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 = any free port. */
  port: z.number().int().min(0).max(65_535).default(0),
  /** Keys accepted on /v1; none = open. */
  apiKeys: z.array(z.string().min(1)).default([]),
  seed: z.number().int().default(1),
  /** 10 = every simulated duration passes ten times as fast. */
  timeScale: z.number().positive().default(1),
  /** JSON Lines, appended when a call ends; read back at start. */
  invoiceFile: z.string().min(1).optional(),
  /** Lines kept; when they are full, calls are refused with 503 rather than left off the invoice. */
  maxInvoiceLines: z.number().int().positive().default(2_000_000),
  maxBodyBytes: z
    .number()
    .int()
    .positive()
    .default(32 * 1024 * 1024),
  models: z.record(z.string().min(1).max(200), modelSchema),
});

/** What a person or a test writes. */
export type SimulatorConfig = z.input<typeof configSchema>;
/** The same with every default filled in and prices in pico-USD. */
export type ResolvedConfig = z.output<typeof configSchema>;
export type ModelConfig = ResolvedConfig['models'][string];
export type Behaviour = z.output<typeof behaviourSchema>;

/** @throws Error that names every wrong field. */
export function resolveConfig(config: unknown): ResolvedConfig {
  const result = configSchema.safeParse(config);
  if (!result.success) throw new Error(`invalid simulator configuration\n${z.prettifyError(result.error)}`);
  return result.data;
}

/** Reads a YAML (or JSON) file. */
export function readConfigFile(path: string): unknown {
  return parseYaml(readFileSync(path, 'utf8'));
}
