import type { ServiceTier } from '@meritorder/contracts';
import { objectOf } from './latest-fields.js';

const TIERS: Readonly<Record<string, ServiceTier>> = {
  default: 'standard',
  auto: 'standard',
  standard: 'standard',
  on_demand: 'standard',
  flex: 'flex',
  priority: 'priority',
  batch: 'batch',
};

export interface ServedTier {
  tier: ServiceTier | undefined;
  notes: string[];
}

/**
 * The tier that served a call, from what providers call it: OpenAI, Anthropic and Groq `service_tier`, Google `serviceTier` and
 * Vertex `trafficType`, Bedrock `serviceTier.type`. Tiers that are paid for in advance (scale, provisioned throughput) have no
 * price a token: undefined, with a note.
 */
export function servedTierOf(value: unknown): ServedTier {
  const text = objectOf(value)?.['type'] ?? value;
  if (typeof text !== 'string' || text === '') return { tier: undefined, notes: [] };
  const name = text
    .toLowerCase()
    .replace(/^service_tier_/, '')
    .replace(/^on_demand_(?=.)/, '');
  const tier = Object.hasOwn(TIERS, name) ? TIERS[name] : undefined;
  return { tier, notes: tier ? [] : [`tier:${name.slice(0, 64)}`] };
}
