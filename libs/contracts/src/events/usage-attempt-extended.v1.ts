import { z } from 'zod';
import { AttemptTerms } from '../internal/work.v1.js';
import { Instant, Slug } from '../primitives.js';

/**
 * The hold of a governed attempt has grown: `bound` and `governed.heldTokens` are those from now on. Durable before what was added
 * is used; complete in itself, so that it can be recorded when the opening was not seen yet.
 */
export const UsageAttemptExtendedV1 = z.object({ ...AttemptTerms.shape, worker: Slug, extendedAt: Instant });
export type UsageAttemptExtendedV1 = z.infer<typeof UsageAttemptExtendedV1>;
