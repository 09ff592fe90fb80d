import { z } from 'zod';
import { Instant, NanosText, Slug } from '../primitives.js';
import { ChatRequest } from '../requests/inference-request.v1.js';

/** `inference.estimate.v1.<org>`: what a request would cost, at each backend; nothing is reserved or sent. */
export const EstimateRequest = z.object({
  /** The request as it would be sent; `model` names a route or a backend. */
  body: ChatRequest,
  /** Absent: the backends of the route. */
  backends: z.array(Slug).min(1).max(1_000).optional(),
});
export type EstimateRequest = z.infer<typeof EstimateRequest>;

const Tokens = z.int().nonnegative();
const Share = z.number().min(0).max(1);

/** One part of the expected cost; the parts add up to it. */
export const EstimateLine = z.object({
  kind: z.enum(['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'output', 'request']),
  /** Tokens, or requests. */
  count: Tokens,
  cashNanos: NanosText,
  fullNanos: NanosText,
});
export type EstimateLine = z.infer<typeof EstimateLine>;

export const EstimateRow = z.object({
  backend: Slug,
  provider: Slug,
  model: z.string(),
  /** `unable`: cannot serve this request; `unpriced`: gets no budgeted traffic. */
  state: z.enum(['able', 'unable', 'unpriced']),
  reason: z.string().optional(),
  input: z.object({
    expectedTokens: Tokens,
    /** What the input is trusted to stay under, and what it cannot exceed; null: a part has no bound. */
    upperTokens: Tokens,
    boundTokens: Tokens.nullable(),
    /**
     * `exact`: counted by the model's tokenizer; `sampled`: calibrated by counted slices; `learned`: by the classes of the
     * characters and this model's reported usage; `classes`: before any was reported.
     */
    basis: z.enum(['exact', 'sampled', 'learned', 'classes']),
    /** Of the requests judged (the older count less), the share whose input stayed under the stated upper. */
    coverage: z.object({ share: Share, judged: Tokens }).optional(),
    /** Of the expected tokens, read from the provider's prompt cache, and written to it. */
    cacheReadTokens: Tokens,
    cacheWriteTokens: Tokens,
    /** `planned`: as the provider documents its cache; `learned`: corrected by reported usage; `none`: no reuse is known of. */
    cacheBasis: z.enum(['none', 'planned', 'learned']),
  }),
  /** Of one choice. */
  output: z.object({
    expectedTokens: Tokens,
    p95Tokens: Tokens,
    p99Tokens: Tokens,
    maxTokens: Tokens,
    choices: z.int().positive(),
    basis: z.enum(['learned', 'prior']),
    /** Answers learned from. */
    seen: Tokens,
    /** Of the answers judged (the older count less), the shares that were no longer than the stated quantiles. */
    coverage: z.object({ p95: Share, p99: Share, judged: Tokens }).optional(),
  }),
  priceVersion: Slug.optional(),
  /** Absent: no price in force. */
  cost: z
    .object({
      expectedCashNanos: NanosText,
      expectedFullNanos: NanosText,
      expectedMarginalNanos: NanosText,
      /** With an answer of the length that 1 of 20, or of 100, exceeds. */
      p95CashNanos: NanosText,
      p99CashNanos: NanosText,
      /** What would be reserved; null: a part of the request has no bound. */
      boundCashNanos: NanosText.nullable(),
      boundFullNanos: NanosText.nullable(),
      /** The expected cost by what it is for. */
      lines: z.array(EstimateLine),
      /** What is expected to be used and has no rate. */
      unpriced: z.array(z.string()),
    })
    .optional(),
});
export type EstimateRow = z.infer<typeof EstimateRow>;

/** Rows by expected cash; those that are not able or not priced come last. */
export const EstimateReply = z.union([
  z.object({ route: Slug, estimatedAt: Instant, rows: z.array(EstimateRow) }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type EstimateReply = z.infer<typeof EstimateReply>;

/** Of a request of messages (`Meritorder-Kind: messages`, `max_tokens` may be absent): Anthropic's count, as expected at the cheapest backend that is able. */
export const CountedTokens = z.object({ input_tokens: Tokens });
export type CountedTokens = z.infer<typeof CountedTokens>;
