import { z } from 'zod';
import { Instant, Slug } from '../primitives.js';

/** The end of a durable job: an answer with its receipt, or an error. */
export const InferenceResultV1 = z.object({
  requestId: Slug,
  org: Slug,
  status: z.enum(['ok', 'error']),
  /** OpenAI's chat completion with `meritorder`, or OpenAI's error body. */
  body: z.record(z.string(), z.unknown()),
  finishedAt: Instant,
  /** When the job was accepted: an id can name another job when the result of the first is not kept any more. */
  acceptedAt: Instant.optional(),
});
export type InferenceResultV1 = z.infer<typeof InferenceResultV1>;
