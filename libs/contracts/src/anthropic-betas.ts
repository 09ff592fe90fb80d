import { z } from 'zod';

/** A feature of Anthropic's protocol that is asked for by name, most of them with the day it came. */
export const BetaName = z.string().regex(/^[a-z0-9-]{1,64}$/);
export const MOST_BETAS = 32;

/**
 * Features that change what a request may say, or how its answer is told, and not what a token of it costs or how many may come:
 * clients may ask any Anthropic backend for them. What needs a field of the request is judged by that field.
 */
const WITHOUT_COST =
  /^(claude-code|interleaved-thinking|fine-grained-tool-streaming|token-efficient-tools|context-management|prompt-caching|prompt-caching-scope|extended-cache-ttl|effort|structured-outputs|advanced-tool-use|tool-examples|tool-search-tool|output-128k|pdfs)-\d{4}-?\d{2}-?\d{2}$/;

/** The names in a header `anthropic-beta`; what is no name is left out, as what nobody knows is. */
export function betasIn(header: string): string[] {
  const names = header.split(',').map((name) => name.trim());
  return [...new Set(names)].filter((name) => BetaName.safeParse(name).success).slice(0, MOST_BETAS);
}

/** What a backend is told: its own, and of those that the client asks for the ones that cost nothing or are allowed there. */
export function betasFor(
  {
    betas = [],
    clientBetas = [],
  }: { betas?: readonly string[] | undefined; clientBetas?: readonly string[] | undefined },
  asked: readonly string[],
): string[] {
  return [...new Set([...betas, ...asked.filter((name) => WITHOUT_COST.test(name) || clientBetas.includes(name))])];
}
