import { z } from 'zod';
import { MeritorderOptions, Metadata } from './inference-request.v1.js';

/** OpenAI's limit, which others share or stay under. */
const MAX_INPUTS = 2_048;
/** Of one input; no embedding model reads more. */
const MAX_TOKENS_PER_INPUT = 131_072;

const Text = z.string().min(1);
const Tokens = z.array(z.int().nonnegative().max(0xffff_ffff)).min(1).max(MAX_TOKENS_PER_INPUT);

/** OpenAI's embeddings request. Fields not named here pass through to the backend untouched. */
export const EmbeddingsRequest = z.looseObject({
  model: z.string().min(1).max(128),
  input: z.union([Text, z.array(Text).min(1).max(MAX_INPUTS), Tokens, z.array(Tokens).min(1).max(MAX_INPUTS)], {
    error: `must be a text, token numbers, or a list of 1 to ${MAX_INPUTS} of either; none of them empty, none with more than ${MAX_TOKENS_PER_INPUT} token numbers`,
  }),
  dimensions: z.int().min(1).max(65_536).nullish(),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  user: z.string().max(512).nullish(),
  metadata: Metadata.nullish(),
  meritorder: MeritorderOptions.nullish(),
});
export type EmbeddingsRequest = z.infer<typeof EmbeddingsRequest>;
