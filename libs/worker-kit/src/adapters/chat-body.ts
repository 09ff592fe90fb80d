import {
  callIdsOfChat,
  otherCallIds,
  PARSED,
  PARSED_ARGUMENTS,
  REASONING_FIELDS,
  type CallIdRule,
} from '@meritorder/dialect-core';
import type { ProviderRequest } from '../application/ports.js';

type Fields = Record<string, unknown>;

/** What the endpoints that speak OpenAI's chat completions do not agree on. */
export function chatBody({ body, backend, stream }: Pick<ProviderRequest, 'body' | 'backend' | 'stream'>): Fields {
  const { protocol, provider, model } = backend;
  const { max_tokens: maxTokens, stream_options: asked, ...rest } = body;
  const isOpenAi = protocol === 'azure' || provider === 'openai';
  // OpenAI's reasoning models refuse `max_tokens`; Mistral and many others know no other name.
  const limit = isOpenAi ? 'max_completion_tokens' : 'max_tokens';
  // Mistral refuses what others have to be asked, and sends its usage unasked.
  const asksForUsage = stream && provider !== 'mistral';
  const told: Fields = {
    ...rest,
    messages: messagesFor(body['messages'], isOpenAi ? 'openai' : provider),
    ...(maxTokens === undefined ? {} : { [limit]: maxTokens }),
    model,
    stream,
    // What else a caller may ask for (`include_obfuscation`), others do not know.
    stream_options: asksForUsage
      ? { ...(isOpenAi ? (asked as Fields | null | undefined) : {}), include_usage: true }
      : undefined,
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

/** By provider, what ids of calls have to be; others take any. */
const CALL_IDS: ReadonlyMap<string, CallIdRule> = new Map([
  ['openai', 'openai'],
  ['mistral', 'mistral'],
]);
const NO_OTHERS: ReadonlyMap<string, string> = new Map();

function messagesFor(messages: unknown, provider: string): unknown {
  if (!Array.isArray(messages)) return messages;
  const refused = REFUSED_IN_MESSAGES.get(provider) ?? NONE;
  const rule = CALL_IDS.get(provider);
  const otherIds = rule ? otherCallIds(callIdsOfChat(messages), rule) : NO_OTHERS;
  return (messages as Fields[]).map((message) => messageFor(message, provider === 'openai', refused, otherIds));
}

/**
 * The very message where nothing of it is to be told otherwise. OpenAI alone has the role `developer`; to its older models it is
 * `system`, which is what everybody else knows.
 */
function messageFor(
  message: Fields,
  knowsDeveloper: boolean,
  refused: ReadonlySet<string>,
  otherIds: ReadonlyMap<string, string>,
): Fields {
  const isKept = ([field, value]: [string, unknown]): boolean =>
    field !== PARSED && (refused === NONE || (!refused.has(field) && (value !== null || field === 'content')));
  const fields = Object.entries(message);
  const calls = callsFor(message['tool_calls'], otherIds, refused !== NONE);
  const changed: Fields = {
    ...(message['role'] === 'developer' && !knowsDeveloper ? { role: 'system' } : {}),
    ...(calls === message['tool_calls'] ? {} : { tool_calls: calls }),
    ...otherId('tool_call_id', message, otherIds),
  };
  if (Object.keys(changed).length === 0 && fields.every(isKept)) return message;
  return { ...Object.fromEntries(fields.filter(isKept)), ...changed };
}

/** The very list where nothing of it is to be told otherwise. */
function callsFor(calls: unknown, otherIds: ReadonlyMap<string, string>, isStrict: boolean): unknown {
  if (!Array.isArray(calls)) return calls;
  const told = calls.map((call: Call | null) => {
    const parsed = call?.function?.[PARSED_ARGUMENTS] !== undefined;
    const other = otherId('id', call ?? {}, otherIds);
    // Gemini's seal, which its own endpoint of this protocol wants back.
    const { extra_content: seal, ...plain } = call ?? {};
    const isSealed = isStrict && seal !== undefined;
    if (!parsed && !isSealed && other.id === undefined) return call;
    const { [PARSED_ARGUMENTS]: _parsed, ...made } = call?.function ?? {};
    return { ...(isSealed ? plain : call), ...other, ...(parsed ? { function: made } : {}) };
  });
  return told.every((call, i) => call === calls[i]) ? calls : told;
}

type Call = Fields & { function?: Fields | null };

function otherId<Field extends string>(
  field: Field,
  { [field]: id }: Fields,
  otherIds: ReadonlyMap<string, string>,
): { [field in Field]?: string } {
  const other = otherIds.get(id as string);
  return (other === undefined ? {} : { [field]: other }) as { [field in Field]?: string };
}
