import type { MeritorderConfig } from '@meritorder/contracts';
import type { Catalogue } from '@meritorder/price-catalogue';
import { lackingPriceOf, PriceConfigError, proposalsFor } from '@meritorder/pricing-core';
import { policyWarnings } from './policy-warnings.js';

/**
 * What keeps backends of a valid configuration from any traffic, or requests from any backend, a line for each; own hardware has
 * prices by what it costs.
 */
export function warningsOf(config: MeritorderConfig, catalogue: Pick<Catalogue, 'entriesOf'>): string[] {
  return [...lackingPrices(config, catalogue), ...smallBatches(config), ...policyWarnings(config)];
}

/** Jobs that wait for others of their batch are in flight at their routers all the while. */
function smallBatches({ backends, limits: { jobsInFlightPerRouter: most } }: MeritorderConfig): string[] {
  return backends.flatMap(({ id, batch }) => {
    const fewest = batch?.bedrock?.minRecords ?? 1;
    if (fewest <= most) return [];
    return `backend ${id} may get no batch together: it takes ${fewest} jobs or more, and one router has ${most} in flight (limits.jobsInFlightPerRouter)`;
  });
}

function lackingPrices(config: MeritorderConfig, catalogue: Pick<Catalogue, 'entriesOf'>): string[] {
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
