import type { Capability, ChatRequest } from '@meritorder/contracts';

/** What a request asks of a backend, read from its body. */
export interface Requirements {
  capabilities: Capability[];
  /** Most output tokens of one choice that the caller accepts; undefined: as many as the backend gives. */
  maxTokens: number | undefined;
  choices: number;
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
  };
}

function hasNonTextPart(body: ChatRequest): boolean {
  return body.messages.some(
    (m) => Array.isArray(m.content) && m.content.some((part) => part.type !== 'text' && part.type !== 'refusal'),
  );
}
