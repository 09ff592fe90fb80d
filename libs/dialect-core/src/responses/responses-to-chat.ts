import type { ChatRequest, ResponsesRequest, ResponsesTool } from '@meritorder/contracts';
import { listOf, stated, type Json } from '../json.js';
import { MOST_REPORTED, type ChatReading, type Uncarried } from '../chat-reading.js';
import { chatMessagesOf } from './items-to-messages.js';

/** Is told of what a chat completion cannot say, by its path in the request and in words. */
export type CannotCarry = (path: string, what: string) => void;

/** Fields that both kinds of request have, and that mean the same. */
const SAME = [
  'model',
  'stream',
  'temperature',
  'top_p',
  'parallel_tool_calls',
  'service_tier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'safety_identifier',
  'user',
  'metadata',
  'meritorder',
] as const;
/** What has no part in the request to a backend: nothing is kept here, and tools that a provider runs are refused anyway. */
const WITHOUT_EFFECT = ['store', 'max_tool_calls', 'stream_options'] as const;
const TRANSLATED = [
  'input',
  'instructions',
  'max_output_tokens',
  'top_logprobs',
  'tools',
  'tool_choice',
  'text',
  'reasoning',
  'include',
  'truncation',
  'background',
] as const;
const KNOWN: ReadonlySet<string> = new Set([...SAME, ...WITHOUT_EFFECT, ...TRANSLATED]);
const LOGPROBS = 'message.output_text.logprobs';
/** Of items that are never made here, so leaving them out leaves out nothing. */
const NEVER_INCLUDED: ReadonlySet<string> = new Set(['reasoning.encrypted_content']);

/** OpenAI's request for a response as its chat completion. Where something is `uncarried`, nobody is to be sent it. */
export function chatOfResponses(body: ResponsesRequest): ChatReading {
  const uncarried: Uncarried[] = [];
  const cannotCarry: CannotCarry = (path, what) =>
    void (uncarried.length < MOST_REPORTED && uncarried.push({ path, what }));
  const places = new WeakMap<object, string>();
  const cameFrom = (part: object, path: string): void => void places.set(part, path);
  const fields = stated(body);
  const { format, verbosity, ...text } = body.text ?? {};
  const { effort, summary, ...reasoning } = body.reasoning ?? {};
  const logprobs = listOf(body.include).includes(LOGPROBS);
  const chat = stated({
    ...Object.fromEntries(SAME.map((field) => [field, body[field]])),
    messages: chatMessagesOf(body, { cannotCarry, cameFrom }),
    max_completion_tokens: body.max_output_tokens,
    ...(logprobs ? { logprobs, top_logprobs: body.top_logprobs } : {}),
    tools: body.tools?.length ? body.tools.map((tool, i) => toolOf(tool, `tools.${i}`, cannotCarry)) : undefined,
    tool_choice: toolChoiceOf(body.tool_choice, cannotCarry),
    response_format: formatOf(format),
    verbosity,
    reasoning_effort: effort,
  }) as ChatRequest;
  if (summary) cannotCarry('reasoning.summary', 'a summary of what was thought');
  for (const field of Object.keys(stated(reasoning))) cannotCarry(`reasoning.${field}`, `"${field}"`);
  for (const field of Object.keys(stated(text))) cannotCarry(`text.${field}`, `"${field}"`);
  for (const [i, what] of (body.include ?? []).entries())
    if (what !== LOGPROBS && !NEVER_INCLUDED.has(what)) cannotCarry(`include.${i}`, `"${what}"`);
  if (body['truncation'] === 'auto') cannotCarry('truncation', 'an input that is cut to fit');
  if (body['background'] === true) cannotCarry('background', 'an answer that is fetched later');
  const unknown = Object.keys(fields).filter((field) => !KNOWN.has(field));
  for (const field of unknown) cannotCarry(field, WORDS.get(field) ?? `"${field}"`);
  return { chat, uncarried, unbounded: undefined, placeOf: (part) => places.get(part) };
}

const WORDS = new Map(
  Object.entries({
    previous_response_id: 'an earlier response by its id, since none is kept: send its items',
    conversation: 'a conversation by its id, since none is kept: send its items',
    prompt: 'a prompt that the provider keeps: send its text',
  }),
);

function toolOf(
  tool: ResponsesTool,
  path: string,
  cannotCarry: CannotCarry,
): { type: string; [more: string]: unknown } {
  const { type, name, description, parameters, strict, ...rest } = tool;
  if (type !== 'function') {
    cannotCarry(path, `the provider's own tool "${type}"`);
    return tool;
  }
  for (const field of Object.keys(stated(rest))) cannotCarry(`${path}.${field}`, `"${field}" of a tool`);
  return { type, function: stated({ name, description, parameters, strict }) };
}

function toolChoiceOf(choice: ResponsesRequest['tool_choice'], cannotCarry: CannotCarry): unknown {
  if (!choice || typeof choice === 'string') return choice;
  const { type, name } = choice;
  if (type === 'function' && typeof name === 'string') return { type, function: { name } };
  cannotCarry('tool_choice', `a choice of "${type}"`);
  return undefined;
}

function formatOf(format: { type: string; [more: string]: unknown } | null | undefined): Json | undefined {
  if (!format || format.type !== 'json_schema') return format ?? undefined;
  const { type, ...schema } = format;
  return { type, json_schema: stated(schema) };
}
