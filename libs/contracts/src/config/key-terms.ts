import { z } from 'zod';
import { AttributionValue, Slug } from '../primitives.js';

/** What a key may do in a minute, and at once. Counted at the gateway, over all its instances. */
export const KeyLimits = z.strictObject({
  requestsPerMinute: z.int().min(1).max(1_000_000).optional(),
  tokensPerMinute: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .meta({ description: 'Input and output together, as expected when the request comes.' }),
  concurrency: z.int().min(1).max(10_000).optional().meta({ description: 'Requests in flight.' }),
});
export type KeyLimits = z.infer<typeof KeyLimits>;

/** What a key is bound to and may do, wherever it is from. */
export const KEY_TERMS = {
  department: AttributionValue.optional(),
  team: AttributionValue.optional(),
  customer: AttributionValue.optional(),
  feature: AttributionValue.optional(),
  tier: AttributionValue.optional(),
  routes: z
    .array(Slug)
    .min(1)
    .max(1_000)
    .optional()
    .meta({ description: 'Routes and backends it may use, of those that its org may. Default: all of these.' }),
  limits: KeyLimits.optional(),
};
export const KeyTerms = z.strictObject(KEY_TERMS);
export type KeyTerms = z.infer<typeof KeyTerms>;
