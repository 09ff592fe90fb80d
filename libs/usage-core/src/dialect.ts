import { objectOf, type Json } from './latest-fields.js';

/** A wire, by how it states usage; README.md has the rule of each. */
export type Dialect =
  | 'openai-chat'
  | 'openai-embeddings'
  | 'openai-responses'
  | 'anthropic-messages'
  | 'google-gemini'
  | 'google-interactions'
  | 'google-embeddings'
  | 'bedrock-converse'
  | 'cohere'
  | 'ollama'
  | 'llama-completion';

export interface CallHints {
  provider?: string | undefined;
  /** The path or URL that was called. */
  path?: string | undefined;
  /** A body, or the first events of a stream. */
  sample?: unknown;
}

/**
 * The dialect of a call: by what an answer looks like, since one provider speaks several; else by the path; else by the
 * provider's name. Undefined: none of these.
 */
export function dialectOf({ provider, path, sample }: CallHints): Dialect | undefined {
  for (const event of Array.isArray(sample) ? sample.slice(0, 8) : [sample]) {
    const shape = objectOf(event);
    const seen = shape && dialectOfShape(shape);
    if (seen) return seen;
  }
  return dialectOfPath(path ?? '') ?? (provider === undefined ? undefined : DIALECT_OF_PROVIDER[provider]);
}

function dialectOfShape(event: Json): Dialect | undefined {
  const { object, type } = event;
  const usage = objectOf(event['usage']);
  if ('candidates' in event || 'promptFeedback' in event) return 'google-gemini';
  // An embedding; on a live socket each block is of one turn among many, which no reader of one answer can follow.
  if (objectOf(event['usageMetadata'])?.['promptTokenCount'] !== undefined && !('serverContent' in event))
    return 'google-gemini';
  if (objectOf(event['interaction']) || object === 'interaction') return 'google-interactions';
  if (Array.isArray(event['predictions'])) return 'google-embeddings';
  if (typeof object === 'string' && RESPONSES_OBJECTS.has(object)) return 'openai-responses';
  if (typeof type === 'string' && type.startsWith('response.')) return 'openai-responses';
  if (type === 'message_start' || (type === 'message' && event['role'] === 'assistant')) return 'anthropic-messages';
  if (CONVERSE_EVENTS.some((name) => objectOf(event[name])) || objectOf(objectOf(event['output'])?.['message']))
    return 'bedrock-converse';
  if (
    type === 'message-start' ||
    usage?.['billed_units'] ||
    ('embeddings' in event && objectOf(event['meta'])?.['billed_units'])
  )
    return 'cohere';
  if (object === 'list' && usage && 'total_tokens' in usage) return 'openai-embeddings';
  if (Array.isArray(event['choices'])) return 'openai-chat';
  if (typeof event['done'] === 'boolean' || 'prompt_eval_count' in event) return 'ollama';
  if (typeof event['content'] === 'string' && typeof event['stop'] === 'boolean') return 'llama-completion';
  return usage && dialectOfUsage(usage);
}

/** Bodies that say little beside their usage: transcriptions and images. */
function dialectOfUsage(usage: Json): Dialect | undefined {
  if ('prompt_tokens' in usage) return 'openai-chat';
  if (usage['type'] === 'tokens' || usage['type'] === 'duration') return 'openai-responses';
  return 'input_tokens' in usage && 'total_tokens' in usage ? 'openai-responses' : undefined;
}

const RESPONSES_OBJECTS: ReadonlySet<string> = new Set(['response', 'response.compaction']);
const CONVERSE_EVENTS = ['messageStart', 'contentBlockStart', 'contentBlockDelta', 'messageStop'] as const;

const PATHS: readonly (readonly [RegExp, Dialect])[] = [
  [/\/chat\/completions\b|\/v1\/completions\b/, 'openai-chat'],
  [/\/responses\b|\/audio\/transcriptions\b|\/images\//, 'openai-responses'],
  [/\/v1\/embeddings\b/, 'openai-embeddings'],
  [/:(stream)?generateContent\b/i, 'google-gemini'],
  [/\/interactions\b/, 'google-interactions'],
  [/\/converse(-stream)?\b/, 'bedrock-converse'],
  [/\/messages$|\/messages\?|\/invoke(-with-response-stream)?\b|:(stream)?rawPredict\b/i, 'anthropic-messages'],
  [/\/api\/(chat|generate|embed)\b/, 'ollama'],
  [/\/v[12]\/(chat|embed)$/, 'cohere'],
  [/\/completion$/, 'llama-completion'],
];

function dialectOfPath(path: string): Dialect | undefined {
  return PATHS.find(([pattern]) => pattern.test(path))?.[1];
}

const DIALECT_OF_PROVIDER: Readonly<Record<string, Dialect>> = {
  anthropic: 'anthropic-messages',
  google: 'google-gemini',
  aws: 'bedrock-converse',
  cohere: 'cohere',
  ollama: 'ollama',
  openai: 'openai-chat',
};
