import type { BackendConfig, PriceVersion, RateCard, RateCardConfig, Usage } from '@meritorder/contracts';
import { cardFromConfig } from './price-config.js';

export const NOON = Date.UTC(2026, 5, 1, 12);

/** A card from rates as an operator writes them; input and output are free unless said. */
export function card(rates: RateCardConfig): RateCard {
  return cardFromConfig({ inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0', ...rates }, undefined, 'test');
}

export function price(rates: RateCardConfig, more: Partial<PriceVersion> = {}): PriceVersion {
  const cash = card(rates);
  return {
    id: 'pv-1',
    backend: 'b',
    effectiveFrom: '2026-01-01T00:00:00.000Z',
    cash,
    full: cash,
    source: 'test',
    ...more,
  };
}

export function usage(counts: Partial<Usage>): Usage {
  return {
    inputTokens: 0,
    cacheReadTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens: 0,
    requests: 1,
    ...counts,
  };
}

export function backend(more: Partial<BackendConfig> = {}): BackendConfig {
  return {
    id: 'b',
    kind: 'cloud',
    provider: 'acme',
    model: 'm',
    baseUrl: 'http://127.0.0.1:1/v1',
    prices: [],
    otherModels: [],
    modelAliases: [],
    ...more,
  } as unknown as BackendConfig;
}
