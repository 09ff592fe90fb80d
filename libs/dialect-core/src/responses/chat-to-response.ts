import type { ResponsesRequest, Usage } from '@meritorder/contracts';
import { usageBlock } from '../chat-to-message.js';
import { brokenOff, choiceEnd } from '../choice-ends.js';
import { isNullText } from '../held-null.js';
import { listOf, objectOf, textOf, type Json } from '../json.js';
import { TranslationError } from '../translation-error.js';

/** What a response is called: by an id of ours, since some servers give all answers the same one; the rest where its backend does not say. */
export interface ResponseNames {
  id: string;
  model: string;
  /** Seconds since the Unix epoch. */
  createdSeconds: number;
}

/** How far a response has come, and with what. */
export interface ResponseState {
  status: 'in_progress' | 'completed' | 'incomplete' | 'cancelled';
  /** Why it is incomplete. */
  reason?: 'max_output_tokens' | 'content_filter' | undefined;
  output: readonly Json[];
  serviceTier?: string | undefined;
  usage?: Json | null;
}

/**
 * OpenAI's chat completion as its response: the first choice, for a response has one.
 * @param usage as the books have it; undefined: the backend said nothing, and nobody counted.
 * @throws TranslationError where the answer has no message, broke off, or calls a tool without a name.
 */
export function responseOfChat(
  answer: Json,
  asked: ResponsesRequest,
  names: ResponseNames,
  usage: Usage | undefined,
): Record<string, unknown> {
  const choice = objectOf(listOf(answer['choices'])[0]);
  const message = objectOf(choice?.['message']);
  if (!choice || !message) throw new TranslationError('the answer has no message');
  const { id } = names;
  const created = answer['created'];
  const status = statusOf(choice['finish_reason']);
  const parts = [
    ...partOf('output_text', textIn(message['content']), listOf(objectOf(choice['logprobs'])?.['content'])),
    ...partOf('refusal', textOf(message['refusal']) ?? ''),
  ];
  const calls = listOf(message['tool_calls']).map((call, i) => {
    const { id: callId, function: made } = objectOf(call) ?? {};
    const { name, arguments: args } = objectOf(made) ?? {};
    if (textOf(name) === undefined) throw new TranslationError('a tool is called that has no name');
    return callItem(id, i, textOf(callId), name as string, wholeArguments(args), 'completed');
  });
  return responseObject(
    asked,
    {
      id,
      model: textOf(answer['model']) ?? names.model,
      createdSeconds: typeof created === 'number' ? created : names.createdSeconds,
    },
    {
      ...status,
      output: [...(parts.length > 0 ? [messageItem(id, parts, itemStatus(status.status))] : []), ...calls],
      serviceTier: textOf(answer['service_tier']),
      usage: responseUsage(usage),
    },
  );
}

/** With all fields of OpenAI's, also those that say what was asked. */
export function responseObject(
  asked: ResponsesRequest,
  { id, model, createdSeconds }: ResponseNames,
  { status, reason, output, serviceTier, usage = null }: ResponseState,
): Record<string, unknown> {
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: createdSeconds,
    status,
    background: false,
    error: null,
    incomplete_details: reason === undefined ? null : { reason },
    instructions: asked.instructions ?? null,
    max_output_tokens: asked.max_output_tokens ?? null,
    max_tool_calls: null,
    model,
    output,
    parallel_tool_calls: asked.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: asked.reasoning?.effort ?? null, summary: null },
    service_tier: serviceTier ?? 'default',
    store: false,
    temperature: asked.temperature ?? 1,
    text: { format: asked.text?.format ?? { type: 'text' } },
    tool_choice: asked.tool_choice ?? 'auto',
    tools: asked.tools ?? [],
    top_p: asked.top_p ?? 1,
    truncation: 'disabled',
    usage,
    metadata: {},
  };
}

/** What the end of a choice makes of its response. @throws TranslationError where it broke off */
export function statusOf(finishReason: unknown): Pick<ResponseState, 'status' | 'reason'> {
  switch (choiceEnd(finishReason)) {
    case 'broken':
      throw new TranslationError(brokenOff(finishReason));
    case 'out-of-room':
      return { status: 'incomplete', reason: 'max_output_tokens' };
    case 'filtered':
      return { status: 'incomplete', reason: 'content_filter' };
    case 'complete':
      return { status: 'completed' };
  }
}

/** An item that is told to its end is completed, whatever became of the response: unless that was cut within it. */
export function itemStatus(status: ResponseState['status']): 'completed' | 'incomplete' {
  return status === 'completed' ? 'completed' : 'incomplete';
}

export function messageItem(answerId: string, content: readonly Json[], status: string): Json {
  return { id: `msg_${answerId}`, type: 'message', status, role: 'assistant', content };
}

/** Some servers give calls no id; the answers to them need one. */
export function callItem(
  answerId: string,
  index: number,
  callId: string | undefined,
  name: string,
  args: string,
  status: string,
): Json {
  const id = `fc_${answerId}_${index}`;
  return { id, type: 'function_call', status, call_id: callId ?? `call_${answerId}_${index}`, name, arguments: args };
}

export function textPart(text: string, logprobs: readonly unknown[] = []): Json {
  return { type: 'output_text', text, annotations: [], logprobs };
}

export function refusalPart(refusal: string): Json {
  return { type: 'refusal', refusal };
}

function partOf(type: 'output_text' | 'refusal', text: string, logprobs: readonly unknown[] = []): Json[] {
  if (text === '') return [];
  return [type === 'refusal' ? refusalPart(text) : textPart(text, logprobs)];
}

/** Of a message or a delta. */
export function textIn(content: unknown): string {
  return Array.isArray(content)
    ? content.map((part) => textOf(objectOf(part)?.['text']) ?? '').join('')
    : (textOf(content) ?? '');
}

/** Of a call or of a piece of it: a text, as OpenAI has it; some servers send the object itself. */
export function argumentsIn(args: unknown): string {
  return objectOf(args) ? JSON.stringify(args) : (textOf(args) ?? '');
}

function wholeArguments(args: unknown): string {
  const text = argumentsIn(args);
  return isNullText(text) ? '{}' : text;
}

/** All input counts, what the cache read or wrote included. */
export function responseUsage(usage: Usage | undefined): Json {
  const block = usageBlock(usage) as Record<string, number>;
  const cached = block['cache_read_input_tokens']!;
  const input = block['input_tokens']! + block['cache_creation_input_tokens']! + cached;
  const output = block['output_tokens']!;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: usage?.reasoningTokens ?? 0 },
    total_tokens: input + output,
  };
}
