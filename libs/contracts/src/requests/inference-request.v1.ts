import { z } from 'zod';
import { ATTRIBUTION_KEYS, AttributionValue, UsdText } from '../primitives.js';

/** What a caller may ask of Meritorder itself, beside what OpenAI defines. */
export const MeritorderOptions = z
  .strictObject({
    max_cost_usd: UsdText.refine((text) => !text.startsWith('-'), 'must not be negative')
      .optional()
      .meta({
        description:
          'The most that others may charge for it, as an upper bound, all its attempts together: second calls, and those after a failure that may be charged. Own hardware does not count.',
      }),
    deadline_ms: z.int().min(1).max(518_400_000).optional().meta({
      description:
        'When the whole answer must be there, streams included. Backends that are expected to take longer stand behind all others, and what is not there by then is broken off and may still be charged. Of a job at most six days; of anything else the deadline of requests counts where it is shorter.',
    }),
    max_latency_ms: z.int().min(1).max(3_600_000).optional().meta({
      description: 'Backends that are expected to take longer are not asked; never above what the tier allows.',
    }),
    max_first_token_ms: z.int().min(1).max(3_600_000).optional().meta({
      description: 'The same for the first token of a stream.',
    }),
    idempotency_key: z.string().min(1).max(255).optional(),
    min_quality: z.number().min(0).max(1).optional().meta({ description: 'Never below what the tier asks for.' }),
    value_usd: UsdText.refine((text) => !text.startsWith('-'), 'must not be negative')
      .optional()
      .meta({
        description:
          'What a perfect answer is worth; at most what the tier allows. Under the objective margin: what a conversion brings, where that is less than is known of it, or the tier allows so much.',
      }),
    allow_substitution: z.boolean().optional().meta({
      description:
        'Where `model` names a backend: others of its routes that are expected to be as good may answer, if the tier allows it.',
    }),
  })
  .meta({ description: 'Wishes of the caller; all optional.' });
export type MeritorderOptions = z.infer<typeof MeritorderOptions>;

/** Of these what a decision heeds. */
export const Wishes = MeritorderOptions.omit({ idempotency_key: true });

export const Metadata = z
  .record(z.string().max(64), z.string().max(512))
  .refine((m) => Object.keys(m).length <= 16, 'at most 16 entries')
  .refine(
    (m) => ATTRIBUTION_KEYS.every((k) => m[k] === undefined || AttributionValue.safeParse(m[k]).success),
    `values of ${ATTRIBUTION_KEYS.join(', ')} have 1 to 128 characters, none of them a control character`,
  );

const Message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional(),
});

/** OpenAI's chat-completion request. Fields not named here pass through to the backend untouched. */
export const ChatRequest = z.looseObject({
  model: z.string().min(1).max(128),
  messages: z.array(Message).min(1).max(4096),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  max_tokens: z.int().min(1).max(10_000_000).nullish(),
  max_completion_tokens: z.int().min(1).max(10_000_000).nullish(),
  n: z.int().min(1).max(128).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  tools: z
    .array(z.looseObject({ type: z.string() }))
    .max(1024)
    .nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  metadata: Metadata.nullish(),
  meritorder: MeritorderOptions.nullish(),
});
export type ChatRequest = z.infer<typeof ChatRequest>;
