import { z } from 'zod';
import { Instant, PriceVersion } from '../primitives.js';

/** A price that waits for a person; the version in force stays. */
export const PriceVersionHeldV1 = z.object({
  version: PriceVersion,
  reasons: z
    .array(z.object({ code: z.string().max(64), rate: z.string().max(64).optional(), message: z.string().max(1_000) }))
    .min(1),
  heldAt: Instant,
});
export type PriceVersionHeldV1 = z.infer<typeof PriceVersionHeldV1>;
