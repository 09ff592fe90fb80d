import { z } from 'zod';
import { BetaName, MOST_BETAS } from '../anthropic-betas.js';
import { MeritorderOptions, Metadata } from './inference-request.v1.js';

const CacheControl = z.looseObject({ type: z.literal('ephemeral'), ttl: z.enum(['5m', '1h']).optional() }).nullish();

const TextBlock = z.looseObject({ type: z.literal('text'), text: z.string(), cache_control: CacheControl });
const ImageBlock = z.looseObject({
  type: z.literal('image'),
  source: z.discriminatedUnion('type', [
    z.looseObject({
      type: z.literal('base64'),
      media_type: z.string().regex(/^image\/[a-z0-9.+-]{1,64}$/),
      data: z.string(),
    }),
    z.looseObject({ type: z.literal('url'), url: z.string() }),
    z.looseObject({ type: z.literal('file'), file_id: z.string() }),
  ]),
  cache_control: CacheControl,
});
const ToolUseBlock = z.looseObject({
  type: z.literal('tool_use'),
  id: z.string().min(1).max(256),
  name: z.string().min(1).max(256),
  input: z.record(z.string(), z.unknown()),
  cache_control: CacheControl,
});
/** Blocks of a type that is not described here: a backend that speaks this dialect itself may know them. */
const OtherBlock = z.looseObject({ type: z.string().min(1).max(64), cache_control: CacheControl });

function blocksOf<T extends z.ZodType>(known: Readonly<Record<string, T>>) {
  // A block may be of the type "constructor".
  const schemas = new Map(Object.entries(known));
  return z
    .array(
      OtherBlock.superRefine((block, ctx) => {
        const parsed = schemas.get(block.type)?.safeParse(block);
        for (const issue of parsed?.error?.issues ?? [])
          ctx.addIssue({ code: 'custom', path: issue.path, message: issue.message });
      }),
    )
    .max(4_096);
}

const ToolResultContent = z.union([z.string(), blocksOf({ text: TextBlock, image: ImageBlock })]);
const ToolResultBlock = z.looseObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string().min(1).max(256),
  content: ToolResultContent.nullish(),
  is_error: z.boolean().nullish(),
  cache_control: CacheControl,
});

export type TextBlock = z.infer<typeof TextBlock>;
export type ImageBlock = z.infer<typeof ImageBlock>;
export type ToolUseBlock = z.infer<typeof ToolUseBlock>;
export type ToolResultBlock = z.infer<typeof ToolResultBlock>;
export type MessagesBlock = z.infer<typeof OtherBlock>;

const Message = z.looseObject({
  role: z.enum(['user', 'assistant', 'system']),
  content: z.union([
    z.string(),
    blocksOf<z.ZodType>({ text: TextBlock, image: ImageBlock, tool_use: ToolUseBlock, tool_result: ToolResultBlock }),
  ]),
});
export type MessagesMessage = z.infer<typeof Message>;

/** `custom` or no type: the caller's own. Any other type is one that the provider defines, and may run itself. */
const Tool = z.looseObject({
  type: z.string().max(64).nullish(),
  name: z.string().min(1).max(256).optional(),
  description: z.string().optional(),
  input_schema: z.record(z.string(), z.unknown()).optional(),
  cache_control: CacheControl,
});
export type MessagesTool = z.infer<typeof Tool>;

const ToolChoice = z.looseObject({
  type: z.enum(['auto', 'any', 'tool', 'none']),
  name: z.string().min(1).max(256).optional(),
  disable_parallel_tool_use: z.boolean().optional(),
});

/** Anthropic's `metadata` is strict, so attribution comes beside the wishes. */
export const MessagesOptions = MeritorderOptions.extend({
  metadata: Metadata.nullish().meta({ description: 'Attribution, as `metadata` of a chat completion carries it.' }),
});
export type MessagesOptions = z.infer<typeof MessagesOptions>;

/**
 * Anthropic's messages request. Fields not named here pass through to a backend of that protocol, as far as what they cost has
 * a bound.
 */
export const MessagesRequest = z
  .looseObject({
    model: z.string().min(1).max(128),
    max_tokens: z.int().min(1).max(10_000_000),
    messages: z.array(Message).min(1).max(4_096),
    system: z.union([z.string(), z.array(TextBlock).max(4_096)]).nullish(),
    tools: z.array(Tool).max(1_024).nullish(),
    tool_choice: ToolChoice.nullish(),
    stream: z.boolean().nullish(),
    stop_sequences: z.array(z.string().min(1).max(4_096)).max(1_024).nullish(),
    temperature: z.number().min(0).max(1).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    top_k: z.int().min(0).max(1_000_000).nullish(),
    thinking: z
      .looseObject({
        // Ways to think come with models; what is thought lies inside `max_tokens`, whatever its type.
        type: z.string().min(1).max(64),
        budget_tokens: z.int().min(1).max(10_000_000).optional(),
      })
      .nullish(),
    output_config: z
      .looseObject({ format: z.looseObject({ type: z.string(), schema: z.unknown() }).nullish() })
      .nullish(),
    service_tier: z.enum(['auto', 'standard_only']).nullish(),
    cache_control: CacheControl,
    metadata: z
      .strictObject(
        { user_id: z.string().max(512).nullish() },
        { error: 'has `user_id` alone; attribution goes into `meritorder.metadata`' },
      )
      .nullish(),
    betas: z.array(BetaName).max(MOST_BETAS).nullish().meta({
      description:
        'What the header `Anthropic-Beta` says, too. A backend of that protocol is told those that its `clientBetas` allow; the others are left out.',
    }),
    meritorder: MessagesOptions.nullish(),
  })
  .superRefine((body, ctx) => {
    const issue = (path: (string | number)[], message: string): void => ctx.addIssue({ code: 'custom', path, message });
    body.tools?.forEach((tool, i) => {
      if ((tool.type ?? 'custom') !== 'custom') return;
      if (tool.name === undefined) issue(['tools', i, 'name'], 'is required');
      if (tool.input_schema === undefined) issue(['tools', i, 'input_schema'], 'is required');
    });
    if (body.tool_choice?.type === 'tool' && body.tool_choice.name === undefined)
      issue(['tool_choice', 'name'], 'is required with the type "tool"');
    if (body.thinking?.type === 'enabled' && body.thinking.budget_tokens === undefined)
      issue(['thinking', 'budget_tokens'], 'is required with the type "enabled"');
  });
export type MessagesRequest = z.infer<typeof MessagesRequest>;
