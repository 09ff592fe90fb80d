import { z } from 'zod';
import { MeritorderOptions, Metadata } from './inference-request.v1.js';

/** Of a type that is not described here too: whoever reads it says what of it cannot be carried. */
const Part = z.looseObject({ type: z.string().min(1).max(64) }).superRefine((part, ctx) => {
  const text = part.type === 'refusal' ? 'refusal' : TEXT_PARTS.has(part.type) ? 'text' : undefined;
  if (text !== undefined && typeof part[text] !== 'string')
    ctx.addIssue({ code: 'custom', path: [text], message: 'is required, and is a text' });
});
export type ResponsesPart = z.infer<typeof Part>;
const TEXT_PARTS: ReadonlySet<string> = new Set(['input_text', 'output_text']);

const Content = z.union([z.string(), z.array(Part).max(4_096)]);
const CallId = z.string().min(1).max(512);

/** What items of a type must have; a type that is not here may have anything. */
const KNOWN_ITEMS = new Map<string, z.ZodType>(
  Object.entries({
    message: z.looseObject({ role: z.enum(['user', 'assistant', 'system', 'developer']), content: Content }),
    function_call: z.looseObject({ call_id: CallId, name: z.string().min(1).max(256), arguments: z.string() }),
    function_call_output: z.looseObject({ call_id: CallId, output: Content }),
  }),
);

/** An item without a type is a message. */
const Item = z.looseObject({ type: z.string().min(1).max(64).nullish() }).superRefine((item, ctx) => {
  const parsed = KNOWN_ITEMS.get(item.type ?? 'message')?.safeParse(item);
  for (const issue of parsed?.error?.issues ?? [])
    ctx.addIssue({ code: 'custom', path: issue.path, message: issue.message });
});
export type ResponsesItem = z.infer<typeof Item>;

const Tool = z.looseObject({ type: z.string().min(1).max(64) }).superRefine((tool, ctx) => {
  if (tool.type === 'function' && (typeof tool['name'] !== 'string' || tool['name'] === ''))
    ctx.addIssue({ code: 'custom', path: ['name'], message: 'is required' });
});
export type ResponsesTool = z.infer<typeof Tool>;

/**
 * OpenAI's request for a response. It reaches every backend as a chat completion; what that cannot say is refused, fields that are
 * not named here included.
 */
export const ResponsesRequest = z.looseObject({
  model: z.string().min(1).max(128),
  input: z.union([z.string(), z.array(Item).min(1).max(4_096)]),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).max(10_000_000).nullish(),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(Tool).max(1_024).nullish(),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string() })]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z
    .looseObject({ format: z.looseObject({ type: z.string() }).nullish(), verbosity: z.string().nullish() })
    .nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish(), summary: z.string().nullish() }).nullish(),
  include: z.array(z.string()).max(64).nullish(),
  store: z
    .boolean()
    .nullish()
    .meta({ description: 'The HTTP gateway keeps responses unless this is false; over NATS none is kept.' }),
  metadata: Metadata.nullish(),
  meritorder: MeritorderOptions.nullish(),
});
export type ResponsesRequest = z.infer<typeof ResponsesRequest>;
