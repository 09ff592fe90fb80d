import type { Provider } from '@pydantic/genai-prices';
import { z } from 'zod';
import { CatalogueError, catalogueOf, type Catalogue } from './catalogue.js';

const Price = z.number().nonnegative();
const Prices = z.record(
  z.string(),
  z.union([Price, z.object({ base: Price, tiers: z.array(z.object({ start: z.int().nonnegative(), price: Price })) })]),
);
const Constraint = z.union([
  z.object({ start_date: z.iso.date() }).loose(),
  z.object({ start_time: z.string(), end_time: z.string() }).loose(),
]);
const Match: z.ZodType = z.lazy(() =>
  z.union([
    z.object({ or: z.array(Match) }),
    z.object({ and: z.array(Match) }),
    z.object({ equals: z.string() }),
    z.object({ starts_with: z.string() }),
    z.object({ ends_with: z.string() }),
    z.object({ contains: z.string() }),
    z.object({ regex: z.string() }),
  ]),
);
const Providers = z
  .array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      api_pattern: z.string(),
      models: z
        .array(
          z.looseObject({
            id: z.string(),
            match: Match,
            prices: z.union([z.array(z.object({ constraint: Constraint.nullish(), prices: Prices }).loose()), Prices]),
          }),
        )
        .min(1),
    }),
  )
  .min(1);

/**
 * Reads a catalogue in the format that the package publishes (`data.json`). All or nothing: one value that is not a price makes
 * the whole file unusable, so that a damaged download changes nothing.
 * @throws CatalogueError with the first place that is wrong.
 */
export function readCatalogue(text: string, id: string): Catalogue {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new CatalogueError(`${id} is not JSON (${(error as Error).message}): nothing was changed`);
  }
  const list = Array.isArray(data) ? data : (data as { providers?: unknown } | null)?.providers;
  const parsed = Providers.safeParse(list);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new CatalogueError(`${id}: ${issue!.path.join('.')}: ${issue!.message}: nothing was changed`);
  }
  const providers = new Map<string, Provider>();
  for (const provider of parsed.data) {
    const models = provider.models.map((model) => ({
      ...model,
      // The package wants no constraint where there is none, and its type beside the value.
      prices: Array.isArray(model.prices)
        ? model.prices.map(({ constraint, prices }) => (constraint ? { constraint, prices } : { prices }))
        : model.prices,
    }));
    providers.set(provider.id, { ...provider, models } as unknown as Provider);
  }
  return catalogueOf(id, (provider) => providers.get(provider));
}
