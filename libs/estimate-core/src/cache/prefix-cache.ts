import { MARK_TTL_MS, type CachePolicy } from './cache-policy.js';
import type { PromptPrefix } from './prompt-prefix.js';

/** A block of a prompt, named by a hash of the prompt up to its end. */
export interface PromptBlock {
  readonly hash: number;
  readonly tokens: number;
}

/** The prefixes that a backend was sent for one org: hashes of places and until when the provider keeps them. */
export interface PrefixCache {
  /** The least recently used first. */
  readonly keptUntilMs: Map<number, number>;
  readonly placesLimit: number;
}

/** Places that are remembered of one org at one backend: of the prompts of some hundred conversations. */
export const PLACES_LIMIT = 2_048;

export function emptyPrefixCache(placesLimit: number = PLACES_LIMIT): PrefixCache {
  return { keptUntilMs: new Map(), placesLimit };
}

/** A prompt was sent. */
export function rememberPlaces(
  cache: PrefixCache,
  places: readonly { readonly hash: number }[],
  keptUntilMs: number,
): void {
  // The deep places first: without the ones before them they are of no use, so they are the first to be forgotten.
  for (const { hash } of places.toReversed()) {
    cache.keptUntilMs.delete(hash);
    cache.keptUntilMs.set(hash, keptUntilMs);
  }
  for (const hash of cache.keptUntilMs.keys()) {
    if (cache.keptUntilMs.size <= cache.placesLimit) break;
    cache.keptUntilMs.delete(hash);
  }
}

/** Tokens of the leading blocks that the provider still has, by its steps, 0 below its least. */
export function expectedCacheRead(
  blocks: readonly PromptBlock[],
  cache: PrefixCache,
  policy: CachePolicy,
  nowMs: number,
): number {
  let tokens = 0;
  for (const block of blocks) {
    if (!isKept(cache, block.hash, nowMs)) break;
    tokens += block.tokens;
  }
  const whole = Math.floor(tokens / policy.stepTokens) * policy.stepTokens;
  return whole < policy.minTokens ? 0 : whole;
}

/** What a provider's cache is expected to do with a request, if it does as its policy says. Tokens. */
export interface CachePlan {
  readonly read: number;
  /** Up to the last mark, whether it is read or written. */
  readonly marked5m: number;
  readonly marked1h: number;
}

export const NO_PLAN: CachePlan = { read: 0, marked5m: 0, marked1h: 0 };

/** @param tokens all input tokens of the request, over which the places are spread by their units */
export function planCache(
  prefix: PromptPrefix,
  tokens: number,
  cache: PrefixCache,
  policy: CachePolicy,
  nowMs: number,
): CachePlan {
  if (policy.kind === 'none' || prefix.units === 0) return NO_PLAN;
  const tokensAt = (units: number): number => (tokens * units) / prefix.units;
  if (policy.kind === 'automatic') {
    let before = 0;
    const blocks = prefix.blocks.map(({ hash, endUnits }) => {
      const block = { hash, tokens: tokensAt(endUnits - before) };
      before = endUnits;
      return block;
    });
    return { read: expectedCacheRead(blocks, cache, policy, nowMs), marked5m: 0, marked1h: 0 };
  }
  const atLeast = (units: number): number => {
    const length = Math.round(tokensAt(units));
    return length < policy.minTokens ? 0 : length;
  };
  const last = prefix.marks.at(-1);
  if (last === undefined) return NO_PLAN;
  const known = prefix.edges.findLast((edge) => edge.endUnits <= last.endUnits && isKept(cache, edge.hash, nowMs));
  const lastHour = prefix.marks.findLast((mark) => mark.ttl === '1h');
  const marked = atLeast(last.endUnits);
  const marked1h = lastHour === undefined ? 0 : atLeast(lastHour.endUnits);
  return { read: known === undefined ? 0 : atLeast(known.endUnits), marked5m: marked - marked1h, marked1h };
}

/** Places that a provider's cache knows of a prompt that it was sent, and until when. */
export interface SentPlaces {
  readonly hashes: number[];
  readonly keptUntilMs: number;
}

/** The backend was sent the request: what its cache knows of the prefix from now on; nothing where it keeps none. */
export function placesSent(prefix: PromptPrefix, policy: CachePolicy, nowMs: number): SentPlaces[] {
  const kept = (places: readonly { readonly hash: number }[], ttlMs: number): SentPlaces[] =>
    places.length === 0 ? [] : [{ hashes: places.map(({ hash }) => hash), keptUntilMs: nowMs + ttlMs }];
  if (policy.kind === 'none') return [];
  if (policy.kind === 'automatic') return kept(prefix.blocks, policy.ttlMs);
  return (['5m', '1h'] as const).flatMap((ttl) =>
    kept(
      prefix.marks.filter((mark) => mark.ttl === ttl),
      MARK_TTL_MS[ttl],
    ),
  );
}

export function rememberSentPlaces(cache: PrefixCache, sent: readonly SentPlaces[]): void {
  for (const { hashes, keptUntilMs } of sent)
    rememberPlaces(
      cache,
      hashes.map((hash) => ({ hash })),
      keptUntilMs,
    );
}

/** Both at once. */
export function rememberPrompt(cache: PrefixCache, prefix: PromptPrefix, policy: CachePolicy, nowMs: number): void {
  rememberSentPlaces(cache, placesSent(prefix, policy, nowMs));
}

function isKept(cache: PrefixCache, hash: number, nowMs: number): boolean {
  const untilMs = cache.keptUntilMs.get(hash);
  return untilMs !== undefined && untilMs > nowMs;
}
