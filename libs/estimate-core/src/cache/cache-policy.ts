import type { BackendConfig } from '@meritorder/contracts';

/** How a provider's prompt cache works. */
export interface CachePolicy {
  /**
   * `automatic`: every prompt is cached by blocks; `marked`: up to the places that the caller marks (`cache_control`), for the
   * time of the mark; `none`: nobody is known to cache.
   */
  readonly kind: 'automatic' | 'marked' | 'none';
  /** Shorter prefixes are not cached, tokens. */
  readonly minTokens: number;
  /** Reads are whole multiples of this, tokens. */
  readonly stepTokens: number;
  /** For `automatic`: how long a prefix is kept after its last use. */
  readonly ttlMs: number;
}

const MINUTE_MS = 60_000;
export const MARK_TTL_MS = { '5m': 5 * MINUTE_MS, '1h': 60 * MINUTE_MS } as const;

export const NO_CACHE: CachePolicy = { kind: 'none', minTokens: 0, stepTokens: 1, ttlMs: 0 };
const automatic = (minTokens: number, stepTokens: number, minutes: number): CachePolicy => ({
  kind: 'automatic',
  minTokens,
  stepTokens,
  ttlMs: minutes * MINUTE_MS,
});
const marked = (minTokens: number): CachePolicy => ({ kind: 'marked', minTokens, stepTokens: 1, ttlMs: 0 });

/**
 * Defaults by the provider's and the model's name, the first that matches; as their documentation had them in 2026. What a
 * provider really does is learned from its usage (`cache-hits.ts`); this is where that starts.
 * - Anthropic: marks; 4,096 tokens at least for Opus 4.5 and later and Haiku 4.5, 2,048 for earlier Haikus and Sonnet 4.6,
 *   else 1,024; 5 minutes or 1 hour.
 * - OpenAI, Azure: automatic from 1,024 tokens in steps of 128, kept for 5 to 10 minutes without use.
 * - Gemini: implicit from 1,024 (Flash) or 4,096 tokens (Pro); DeepSeek: from 64 in steps of 64, for hours.
 */
const DEFAULTS: readonly (readonly [provider: RegExp, model: RegExp, policy: CachePolicy])[] = [
  [/./, /claude.*(opus-4[-.][5-9]|opus-[5-9]|haiku-4)/, marked(4_096)],
  [/./, /claude.*(haiku|sonnet-4[-.]6)/, marked(2_048)],
  [/./, /claude/, marked(1_024)],
  [/anthropic/, /./, marked(1_024)],
  [/openai|azure/, /./, automatic(1_024, 128, 10)],
  [/google|gemini|vertex/, /pro/, automatic(4_096, 1, 5)],
  [/google|gemini|vertex/, /./, automatic(1_024, 1, 5)],
  [/deepseek/, /./, automatic(64, 64, 60)],
  [/xai|moonshot|groq/, /./, automatic(1_024, 64, 5)],
];
/** vLLM, SGLang and llama.cpp keep blocks of 16 tokens until their memory is needed. */
const LOCAL_ENGINE = automatic(16, 16, 10);

export function cachePolicyOf(backend: Pick<BackendConfig, 'kind' | 'provider' | 'model'>): CachePolicy {
  if (backend.kind === 'local') return LOCAL_ENGINE;
  const provider = backend.provider.toLowerCase();
  const model = backend.model.toLowerCase();
  return DEFAULTS.find(([p, m]) => p.test(provider) && m.test(model))?.[2] ?? NO_CACHE;
}
