import { waitForUpdate } from '@pydantic/genai-prices';
import type { PricePeer } from '@meritorder/pricing-core';
import { CatalogueError, entriesFrom } from './catalogue.js';

/**
 * Every price of the bundled catalogue, of every model and time: what the guard compares a new price with.
 * @param id names the catalogue as in the sources of its entries, so that a price is no witness for itself.
 */
export async function bundledPeers(id: string): Promise<PricePeer[]> {
  // The package gives the list of what it was built with only by this name; nothing is fetched unless `updatePrices` was called.
  const providers = (await waitForUpdate()) ?? [];
  return providers.flatMap((provider) =>
    provider.models.flatMap((model) => {
      const source = `${id}: ${provider.id}/${model.id}`;
      return pricesOf(() => entriesFrom(model.prices, source)).map(({ card }) => ({
        model: `${provider.id}/${model.id}`,
        provider: provider.id,
        price: { cash: card },
        source,
      }));
    }),
  );
}

/** A model whose price cannot be read is no peer. */
function pricesOf<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    if (error instanceof CatalogueError) return [];
    throw error;
  }
}
