import type { Capability, ChatRequest } from '@meritorder/contracts';

/** What a request asks of a backend, read from its body. */
export interface Requirements {
  capabilities: Capability[];
  /** Most output tokens of one choice that the caller accepts; undefined: as many as the backend gives. */
  maxTokens: number | undefined;
  choices: number;
  /** A field whose cost no bound is known for; undefined: all of it is bounded. */
  unbounded: string | undefined;
}

export function requirementsOf(body: ChatRequest): Requirements {
  const needs = new Set<Capability>();
  if (body.stream) needs.add('streaming');
  if (body.tools?.length || body['functions']) needs.add('tools');
  if (body.response_format && body.response_format.type !== 'text') needs.add('json');
  if ((body.n ?? 1) > 1) needs.add('choices');
  if (body['logprobs']) needs.add('logprobs');
  if (hasNonTextPart(body)) needs.add('vision');
  return {
    capabilities: [...needs],
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    choices: body.n ?? 1,
    unbounded: unboundedField(body),
  };
}

const ORDINARY_TIERS: unknown[] = [undefined, null, 'auto', 'default'];
/** Tools that the caller runs itself; what a provider runs is charged per call. */
const CALLERS_TOOLS = ['function', 'custom'];

/**
 * A field that is passed through and that a provider may charge in a way that the price book does not know: dearer tiers, calls of
 * tools, audio, more choices than `n` says, text that is not in the messages.
 */
function unboundedField(body: ChatRequest): string | undefined {
  const present = (name: string): boolean => body[name] !== undefined && body[name] !== null;
  if (!ORDINARY_TIERS.includes(body['service_tier'])) return 'service_tier';
  if (body.tools?.some((tool) => !CALLERS_TOOLS.includes(tool.type))) return 'tools';
  const modalities = body['modalities'];
  if (present('modalities') && !(Array.isArray(modalities) && modalities.every((m) => m === 'text')))
    return 'modalities';
  if (present('best_of') && body['best_of'] !== 1) return 'best_of';
  return ['web_search_options', 'audio', 'documents', 'chat_template'].find(present);
}

function hasNonTextPart(body: ChatRequest): boolean {
  return body.messages.some(
    (m) => Array.isArray(m.content) && m.content.some((part) => part.type !== 'text' && part.type !== 'refusal'),
  );
}
