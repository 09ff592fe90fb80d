import { z } from 'zod';
import { Slug } from '../primitives.js';

/** `prompt.sent.v1.<backend>`, from router to router: what the backend's prompt cache knows from now on. Nothing can be read of it. */
export const PromptSentV1 = z.object({
  org: Slug,
  backend: Slug,
  sent: z
    .array(
      z.object({
        /** Of the prompt up to each place that the cache keeps. */
        hashes: z.array(z.int()).max(2_048),
        /** Epoch milliseconds. */
        keptUntilMs: z.int().nonnegative(),
      }),
    )
    .max(64),
});
export type PromptSentV1 = z.infer<typeof PromptSentV1>;
