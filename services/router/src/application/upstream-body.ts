import type { BackendConfig, ChatRequest, PriceVersion } from '@meritorder/contracts';
import type { SourceRequest } from './read-request.js';

/**
 * What a worker is asked to send, in the dialect of the request's kind: as it came, without what is meant for Meritorder.
 * @param maxTokens what is held for, of one choice
 * @param onlyStandard no other tier may serve it, whatever the provider would choose; see `onlyStandardTier`
 */
export function upstreamBody(
  { body, source }: { body: ChatRequest; source?: SourceRequest | undefined },
  maxTokens: number,
  onlyStandard = false,
): Record<string, unknown> {
  switch (source?.kind) {
    case 'embeddings': {
      const { meritorder: _options, metadata: _metadata, ...rest } = source.sent;
      return rest;
    }
    case 'messages': {
      // Its metadata is Anthropic's own.
      const { meritorder: _options, ...rest } = source.sent;
      return { ...rest, ...standardTier(onlyStandard, rest, 'standard_only'), max_tokens: maxTokens };
    }
    case 'responses': {
      const { meritorder: _options, metadata: _metadata, ...rest } = source.sent;
      return { ...rest, ...standardTier(onlyStandard, rest, 'default'), max_output_tokens: maxTokens };
    }
    default: {
      const { meritorder: _options, metadata: _metadata, max_completion_tokens: _max, ...rest } = body;
      return { ...rest, ...standardTier(onlyStandard, rest, 'default'), max_tokens: maxTokens };
    }
  }
}

/** Providers whose customers choose another tier for requests that name none: a project of OpenAI, a commitment at Anthropic. */
const CHOOSES_TIER: ReadonlySet<string> = new Set(['openai', 'anthropic']);

/** Whether a tier has to be named, since the provider may serve another than the standard, which has no price here. */
export function onlyStandardTier({ provider, batch }: Pick<BackendConfig, 'provider' | 'batch'>, price: PriceVersion) {
  const { flex, priority } = price.cash.serviceTiers ?? {};
  return CHOOSES_TIER.has(provider) && !batch && !flex && !priority;
}

/** `auto` leaves it to the provider, as naming none does. */
function standardTier(
  onlyStandard: boolean,
  { service_tier: asked }: Record<string, unknown>,
  name: string,
): { service_tier?: string } {
  const isNamed = asked !== undefined && asked !== null && asked !== 'auto';
  return onlyStandard && !isNamed ? { service_tier: name } : {};
}
