import type { MeritorderConfig } from '@meritorder/contracts';
import type { Catalogue } from '@meritorder/price-catalogue';
import { lackingPriceOf, PriceConfigError, proposalsFor } from '@meritorder/pricing-core';

/** What keeps backends of a valid configuration from any traffic, a line for each; own hardware has prices by what it costs. */
export function warningsOf(config: MeritorderConfig, catalogue: Pick<Catalogue, 'entriesOf'>): string[] {
  return config.backends.flatMap((backend) => {
    if (backend.prices.length === 0 && backend.throughput) return [];
    try {
      const proposals = proposalsFor(backend, config, (name) => catalogue.entriesOf(name));
      return lackingPriceOf(backend, proposals) ?? [];
    } catch (error) {
      if (error instanceof PriceConfigError) return error.message;
      throw error;
    }
  });
}
