import { z } from 'zod';
import { AttemptTerms } from '../internal/work.v1.js';
import { Instant, Slug } from '../primitives.js';

/** Durable before the first byte goes upstream. `worker`: the router that put it on record. */
export const UsageAttemptOpenedV1 = z.object({ ...AttemptTerms.shape, worker: Slug, openedAt: Instant });
export type UsageAttemptOpenedV1 = z.infer<typeof UsageAttemptOpenedV1>;
