import { z } from 'zod';
import { Instant, PriceVersion } from '../primitives.js';

export const PriceVersionPublishedV1 = z.object({ version: PriceVersion, publishedAt: Instant });
export type PriceVersionPublishedV1 = z.infer<typeof PriceVersionPublishedV1>;
