import type { ChatRequest, MessagesRequest, MessagesTool } from '@meritorder/contracts';
import { chatMessages, type Rendering } from './conversation.js';
import { MOST_REPORTED, type ChatReading, type Uncarried } from './chat-reading.js';
import { objectOf, stated, textOf, type Json } from './json.js';

/** OpenAI's limit; a server with another one is told no more either. */
const MOST_STOPS = 4;

/** Fields of Anthropic's request that cost no more than the tokens that they bring and `max_tokens` allows. */
const BOUNDED_FIELDS: ReadonlySet<string> = new Set([
  'model',
  'max_tokens',
  'messages',
  'system',
  'tools',
  'tool_choice',
  'stream',
  'stop_sequences',
  'temperature',
  'top_p',
  'top_k',
  'thinking',
  'output_config',
  'service_tier',
  'cache_control',
  'metadata',
  'meritorder',
  'diagnostics',
  // Names of features: a backend that does not know one is not told of it.
  'betas',
]);

/** Fields that cost nothing more with one value: another one may be billed at rates that no price book has. */
const BOUNDED_VALUES: ReadonlyMap<string, unknown> = new Map([['speed', 'standard']]);

/**
 * Edits of the context that only take something out of the input before the model reads it. A short text may stand in place of the
 * result of a tool; each of these is a message of its own in the reading, with what is held for one. What is summarised
 * (`compact_...`) is billed as another call, so it has no bound.
 */
const CLEARING_EDIT = /^clear_(tool_uses|thinking)_\d{8}$/;

/**
 * Anthropic's messages request as OpenAI's chat completion.
 * @param purpose `reading`: for estimates, with the marks of the prompt cache and with everything that costs tokens, also what
 *   OpenAI has no words for; `wire`: as an OpenAI backend is sent it, which is to be done only where nothing is `uncarried`.
 *   The marks are left out there: they change what a request costs and not what it means, and OpenAI's cache needs none.
 *   `marked-wire`: the same with the marks, for a backend whose cache has some.
 */
export function chatOfMessages(body: MessagesRequest, purpose: 'reading' | 'wire' | 'marked-wire'): ChatReading {
  const uncarried: Uncarried[] = [];
  const places = new WeakMap<object, string>();
  const rendering: Rendering = {
    cameFrom: (part, path) => void places.set(part, path),
    marks: purpose !== 'wire',
    keepsDocuments: purpose === 'reading',
    cannotCarry: (path, what) => void (uncarried.length < MOST_REPORTED && uncarried.push({ path, what })),
  };
  const fields = stated(body);
  const { metadata, ...options } = body.meritorder ?? {};
  const chat = stated({
    model: body.model,
    messages: chatMessages(body, rendering),
    max_tokens: body.max_tokens,
    stream: body.stream,
    temperature: body.temperature,
    top_p: body.top_p,
    stop: body.stop_sequences?.length ? body.stop_sequences : undefined,
    tools: body.tools?.length ? body.tools.map((tool, i) => toolOf(tool, `tools.${i}`, rendering)) : undefined,
    ...toolChoiceOf(body, rendering),
    response_format: formatOf(body, rendering),
    service_tier: body.service_tier === 'standard_only' ? 'default' : body.service_tier,
    user: body.metadata?.user_id,
    ...(rendering.marks ? { cache_control: body.cache_control } : {}),
    ...(purpose === 'reading' ? { metadata, meritorder: options } : {}),
  }) as ChatRequest;
  if ((body.stop_sequences?.length ?? 0) > MOST_STOPS)
    rendering.cannotCarry('stop_sequences', `more than ${MOST_STOPS} of them`);
  if (fields['top_k'] !== undefined) rendering.cannotCarry('top_k', 'sampling by rank');
  if (body.thinking && body.thinking.type !== 'disabled') rendering.cannotCarry('thinking', 'thinking that is shown');
  if (fields['diagnostics'] !== undefined) rendering.cannotCarry('diagnostics', 'a diagnosis of the prompt cache');
  const unbounded = unboundedOf(fields);
  // A bounded value is what happens without the field, so nothing of it is lost.
  for (const [field, value] of Object.entries(fields))
    if (!isBounded(field, value)) rendering.cannotCarry(field, 'a field that is not known');
  return { chat, uncarried, unbounded, placeOf: (part) => places.get(part) };
}

function unboundedOf(fields: Json): string | undefined {
  for (const [field, value] of Object.entries(fields)) {
    if (isBounded(field, value)) continue;
    if (field !== 'context_management') return field;
    if (!onlyClears(value)) return 'context_management that does not only clear tool uses or thinking';
  }
  return undefined;
}

function isBounded(field: string, value: unknown): boolean {
  return BOUNDED_FIELDS.has(field) || (BOUNDED_VALUES.has(field) && BOUNDED_VALUES.get(field) === value);
}

function onlyClears(management: unknown): boolean {
  const { edits, ...more } = objectOf(management) ?? {};
  const only = Array.isArray(edits) && Object.keys(stated(more)).length === 0;
  return only && edits.every((edit) => CLEARING_EDIT.test(textOf(objectOf(edit)?.['type']) ?? ''));
}

function toolOf(tool: MessagesTool, path: string, rendering: Rendering): { type: string; [more: string]: unknown } {
  if ((tool.type ?? 'custom') !== 'custom') {
    rendering.cannotCarry(path, `the provider's own tool "${tool.type}"`);
    return { ...tool, type: tool.type! };
  }
  const { type: _type, name, description, input_schema, strict, cache_control, ...more } = tool;
  // How the arguments of its calls are cut into pieces is all that it says.
  const { eager_input_streaming: _pieces, ...rest } = more;
  for (const field of Object.keys(stated(rest))) rendering.cannotCarry(`${path}.${field}`, `"${field}" of a tool`);
  return {
    type: 'function',
    function: stated({ name, description, parameters: input_schema, strict }),
    // What a backend that knows these fields is sent, an estimate has to see.
    ...(rendering.marks ? { ...stated(rest), ...(cache_control ? { cache_control } : {}) } : {}),
  };
}

function toolChoiceOf({ tool_choice: choice }: MessagesRequest, { cannotCarry }: Rendering): Json {
  if (!choice) return {};
  const { type, name, disable_parallel_tool_use: alone, ...rest } = choice;
  for (const field of Object.keys(stated(rest))) cannotCarry(`tool_choice.${field}`, `"${field}"`);
  return {
    tool_choice: type === 'any' ? 'required' : type === 'tool' ? { type: 'function', function: { name } } : type,
    ...(alone === undefined ? {} : { parallel_tool_calls: !alone }),
  };
}

function formatOf({ output_config: config }: MessagesRequest, { cannotCarry }: Rendering): Json | undefined {
  if (!config) return undefined;
  const { format, ...rest } = config;
  for (const field of Object.keys(stated(rest))) cannotCarry(`output_config.${field}`, `"${field}" of the output`);
  if (!format) return undefined;
  if (format.type === 'json_schema' && objectOf(format.schema) !== undefined)
    return { type: 'json_schema', json_schema: { name: 'answer', schema: format.schema, strict: true } };
  cannotCarry('output_config.format', `the format "${format.type}"`);
  return { ...format };
}
