import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
  LanguageModelV4ToolChoice,
  SharedV4ProviderOptions,
} from '@ai-sdk/provider';
import type { ChatRequest } from '@meritorder/contracts';
import { listOf, objectOf, stated, textOf, type Json } from '../json.js';
import type { Uncarried } from '../chat-reading.js';
import { markOf, type SdkProtocol, type Telling } from './part-of-chat.js';
import { promptOfChat } from './prompt-of-chat.js';

export interface CallOfChat {
  /** What the SDK of the provider is asked. */
  options: LanguageModelV4CallOptions;
  /** The first things that are not in `options` as they were meant; empty: all of it is. At most MOST_REPORTED. */
  uncarried: Uncarried[];
}

const MOST_REPORTED = 16;

/** Fields of a chat completion that are carried, or that change nothing in what is answered or charged. */
const CARRIED_FIELDS: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_tokens',
  'max_completion_tokens',
  'temperature',
  'top_p',
  'stop',
  'seed',
  'presence_penalty',
  'frequency_penalty',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'response_format',
  'reasoning_effort',
  'service_tier',
  'cache_control',
  'n',
  // For the provider's own eyes: who asks, and where its cache is to look.
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'metadata',
  'meritorder',
]);

/** Values that say what is so without them. */
const AS_WITHOUT = new Map<string, (value: unknown) => boolean>(
  Object.entries({
    n: (n: unknown) => n === 1,
    logprobs: (asked: unknown) => asked === false,
    top_logprobs: (count: unknown) => count === 0,
    logit_bias: (bias: unknown) => Object.keys(objectOf(bias) ?? { x: 0 }).length === 0,
    store: (asked: unknown) => asked === false,
    modalities: (names: unknown) => listOf(names).every((name) => name === 'text'),
    tools: (tools: unknown) => listOf(tools).length === 0,
    presence_penalty: (penalty: unknown) => penalty === 0,
    frequency_penalty: (penalty: unknown) => penalty === 0,
    parallel_tool_calls: (allowed: unknown) => allowed === true,
    stop: (stop: unknown) => listOf(stop).length === 0 && textOf(stop) === undefined,
  }),
);

/**
 * A chat completion as the SDK of a provider takes it. Pure: used to send it, and before that to find out who can be sent it.
 * `max_tokens` of the body is the limit of one choice.
 */
export function callOfChat(protocol: SdkProtocol, body: ChatRequest): CallOfChat {
  const uncarried: Uncarried[] = [];
  const telling: Telling = {
    protocol,
    cannotCarry: (path, what) => void (uncarried.length < MOST_REPORTED && uncarried.push({ path, what })),
    mark: (marked) => markOf(protocol, marked),
  };
  const asked = Object.fromEntries(
    Object.entries(stated(body)).filter(([field, value]) => !AS_WITHOUT.get(field)?.(value)),
  ) as Json & ChatRequest;
  for (const field of Object.keys(asked))
    if (field === 'n' || !CARRIED_FIELDS.has(field)) telling.cannotCarry(field, `"${field}"`);
  const tools = toolsOf(asked, telling);
  const toolChoice = toolChoiceOf(asked, telling);
  reportSampling(asked, telling);
  reportTools(asked, telling);
  const options = stated({
    prompt: promptOfChat(asked, telling),
    maxOutputTokens: asked.max_completion_tokens ?? asked.max_tokens,
    temperature: asked.temperature,
    topP: asked.top_p,
    stopSequences: typeof asked['stop'] === 'string' ? [asked['stop']] : asked['stop'],
    seed: asked['seed'],
    presencePenalty: asked['presence_penalty'],
    frequencyPenalty: asked['frequency_penalty'],
    tools: tools.length > 0 ? tools : undefined,
    toolChoice: tools.length > 0 ? toolChoice : undefined,
    responseFormat: formatOf(asked, telling),
    reasoning: reasoningOf(asked, telling),
    providerOptions: providerOptionsOf(asked, telling),
  }) as unknown as LanguageModelV4CallOptions;
  return { options, uncarried };
}

function toolsOf({ tools }: ChatRequest, telling: Telling): LanguageModelV4FunctionTool[] {
  return (tools ?? []).map((tool, i) => {
    const path = `tools.${i}`;
    if (tool.type !== 'function') telling.cannotCarry(path, `a tool of the type "${tool.type}"`);
    const { name, description, parameters, strict, ...more } = stated(objectOf(tool['function']) ?? {});
    for (const field of Object.keys(more)) telling.cannotCarry(`${path}.function.${field}`, `"${field}" of a tool`);
    // Which of Bedrock's models keep to a schema is a list of its SDK's.
    if (strict === true && telling.protocol === 'bedrock')
      telling.cannotCarry(`${path}.function.strict`, 'strict tools');
    return stated({
      type: 'function',
      name,
      description,
      inputSchema: parameters ?? { type: 'object', properties: {} },
      strict: strict === true ? true : undefined,
      providerOptions: telling.mark(tool),
    }) as unknown as LanguageModelV4FunctionTool;
  });
}

function toolChoiceOf(body: Json, telling: Telling): LanguageModelV4ToolChoice | undefined {
  const choice = body['tool_choice'];
  if (choice === undefined) return undefined;
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { type: choice };
  const toolName = textOf(objectOf(objectOf(choice)?.['function'])?.['name']);
  if (toolName !== undefined) return { type: 'tool', toolName };
  telling.cannotCarry('tool_choice', 'this choice of tools');
  return undefined;
}

/** What the SDK would leave out or replace without an error. */
function reportTools(body: ChatRequest & Json, telling: Telling): void {
  const { protocol, cannotCarry } = telling;
  const choice = body['tool_choice'];
  const isForced = choice !== undefined && choice !== 'auto';
  if (!body.tools && isForced && choice !== 'none') cannotCarry('tool_choice', 'a choice among no tools');
  if (protocol !== 'gemini' && body.response_format?.type === 'json_schema' && body.tools && isForced)
    cannotCarry('tool_choice', 'a choice of tools together with a JSON schema');
  if (protocol !== 'anthropic' && body['parallel_tool_calls'] !== undefined)
    cannotCarry('parallel_tool_calls', 'one call at a time');
  const callsBefore = body.messages.some(({ role, tool_calls }) => role === 'tool' || listOf(tool_calls).length > 0);
  if (protocol === 'bedrock' && callsBefore && (!body.tools || choice === 'none'))
    cannotCarry('tools', 'calls of tools without the tools');
}

function reportSampling(body: ChatRequest & Json, { protocol, cannotCarry }: Telling): void {
  if (protocol === 'gemini') return;
  for (const field of ['seed', 'presence_penalty', 'frequency_penalty'])
    if (body[field] !== undefined) cannotCarry(field, `"${field}"`);
  if ((body.temperature ?? 0) > 1) cannotCarry('temperature', 'a temperature above 1');
  if (protocol === 'anthropic' && body.temperature !== undefined && body.top_p !== undefined)
    cannotCarry('top_p', '"top_p" beside "temperature"');
}

function formatOf({ response_format: format }: ChatRequest, telling: Telling) {
  if (!format || format.type === 'text') return undefined;
  if (format.type === 'json_object' && telling.protocol === 'gemini') return { type: 'json' };
  const { name, description, schema } = objectOf(format['json_schema']) ?? {};
  if (format.type === 'json_schema' && objectOf(schema)) return stated({ type: 'json', schema, name, description });
  telling.cannotCarry('response_format', `the format "${format.type}"`);
  return undefined;
}

const EFFORTS: readonly unknown[] = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'];

/** Whether a model can be told, its SDK knows: see `thinkingWithin` and `unsaidOnWire`. */
function reasoningOf(body: ChatRequest & Json, { protocol, cannotCarry }: Telling): unknown {
  const effort = body['reasoning_effort'];
  if (effort === undefined) return undefined;
  if (!EFFORTS.includes(effort)) cannotCarry('reasoning_effort', '"reasoning_effort"');
  if (protocol === 'gemini' || effort === 'none') return effort;
  // Claude thinks without them, and the SDKs leave them out.
  for (const field of ['temperature', 'top_p'])
    if (body[field] !== undefined) cannotCarry(field, `"${field}" beside "reasoning_effort"`);
  const choice = body['tool_choice'];
  if (body.tools && choice !== undefined && choice !== 'auto' && choice !== 'none')
    cannotCarry('tool_choice', 'a choice of tools beside "reasoning_effort"');
  return effort;
}

/** By protocol: OpenAI's (and Groq's) name of a tier to the provider's. Without a name Anthropic chooses, the others serve the standard. */
const TIERS: Readonly<Record<SdkProtocol, Readonly<Record<string, string>>>> = {
  gemini: { default: 'standard', standard: 'standard', on_demand: 'standard', flex: 'flex', priority: 'priority' },
  bedrock: { default: 'default', standard: 'default', on_demand: 'default', flex: 'flex', priority: 'priority' },
  anthropic: { auto: 'auto', default: 'standard_only', standard: 'standard_only', on_demand: 'standard_only' },
};

function providerOptionsOf(body: Json, telling: Telling): SharedV4ProviderOptions | undefined {
  const { protocol } = telling;
  const asked = textOf(body['service_tier']);
  const serviceTier = asked === undefined ? undefined : TIERS[protocol][asked];
  if (asked !== undefined && asked !== 'auto' && serviceTier === undefined)
    telling.cannotCarry('service_tier', `the tier "${asked}"`);
  const options = stated(
    protocol === 'anthropic'
      ? {
          serviceTier,
          disableParallelToolUse: body['parallel_tool_calls'] === false ? true : undefined,
          metadata: textOf(body['user']) ? { userId: body['user'] } : undefined,
          cacheControl: markOf(protocol, body)?.['anthropic']?.['cacheControl'],
        }
      : { serviceTier },
  );
  if (Object.keys(options).length === 0) return undefined;
  return { [protocol === 'gemini' ? 'google' : protocol]: options } as SharedV4ProviderOptions;
}
