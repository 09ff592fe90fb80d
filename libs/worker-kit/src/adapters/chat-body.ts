import { PARSED, PARSED_ARGUMENTS, REASONING_FIELDS } from '@meritorder/dialect-core';
import type { ProviderRequest } from '../application/ports.js';

type Fields = Record<string, unknown>;

/** What the endpoints that speak OpenAI's chat completions do not agree on. */
export function chatBody({ body, backend, stream }: Pick<ProviderRequest, 'body' | 'backend' | 'stream'>): Fields {
  const { protocol, provider, model } = backend;
  const { max_tokens: maxTokens, ...rest } = body;
  const isOpenAi = protocol === 'azure' || provider === 'openai';
  // OpenAI's reasoning models refuse `max_tokens`; Mistral and many others know no other name.
  const limit = isOpenAi ? 'max_completion_tokens' : 'max_tokens';
  // Mistral refuses what others have to be asked, and sends its usage unasked.
  const asksForUsage = stream && provider !== 'mistral';
  const told: Fields = {
    ...rest,
    messages: messagesFor(body['messages'], isOpenAi, REFUSED_IN_MESSAGES.get(isOpenAi ? 'openai' : provider) ?? NONE),
    ...(maxTokens === undefined ? {} : { [limit]: maxTokens }),
    model,
    stream,
    stream_options: asksForUsage ? { include_usage: true } : undefined,
  };
  // Mistral refuses whatever it does not know, and who asks changes nothing of the answer.
  if (provider === 'mistral') delete told['user'];
  return told;
}

const NONE: ReadonlySet<string> = new Set();
/** Beside what an answer says, and not for whoever is asked next: callers send answers back as they came, from whichever backend. */
const OF_ANSWERS = [...REASONING_FIELDS, 'annotations'];
/**
 * By provider, what is left out of messages, since it is refused there; so is what is null, but for the content.
 * @see the errors of each: Mistral "extra_forbidden", Groq and Cerebras "property 'reasoning_content' is unsupported"
 */
const REFUSED_IN_MESSAGES: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['openai', new Set(OF_ANSWERS)],
  ['groq', new Set(OF_ANSWERS)],
  ['cerebras', new Set(OF_ANSWERS)],
  ['mistral', new Set([...OF_ANSWERS, 'name'])],
]);

/** OpenAI alone has the role `developer`; to its older models it is `system`, which is what everybody else knows. */
function messagesFor(messages: unknown, knowsDeveloper: boolean, refused: ReadonlySet<string>): unknown {
  if (!Array.isArray(messages)) return messages;
  const isKept = ([field, value]: [string, unknown]): boolean =>
    field !== PARSED && (refused === NONE || (!refused.has(field) && (value !== null || field === 'content')));
  return (messages as Fields[]).map((message) => {
    const isSystem = message['role'] === 'developer' && !knowsDeveloper;
    const calls = callsFor(message['tool_calls']);
    const fields = Object.entries(message);
    if (!isSystem && calls === message['tool_calls'] && fields.every(isKept)) return message;
    return {
      ...Object.fromEntries(fields.filter(isKept)),
      ...(isSystem ? { role: 'system' } : {}),
      ...(Array.isArray(calls) ? { tool_calls: calls } : {}),
    };
  });
}

/** The very list where nothing is to be left out of it. */
function callsFor(calls: unknown): unknown {
  if (!Array.isArray(calls) || !calls.some((call: Call) => isParsed(call?.function))) return calls;
  return calls.map((call: Call) => {
    if (!isParsed(call?.function)) return call;
    const { [PARSED_ARGUMENTS]: _parsed, ...made } = call!.function!;
    return { ...call, function: made };
  });
}

type Call = { function?: Fields | null } | null;

function isParsed(made: Fields | null | undefined): boolean {
  return typeof made === 'object' && made !== null && PARSED_ARGUMENTS in made;
}
