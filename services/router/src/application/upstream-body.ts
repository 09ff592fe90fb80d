import type { ChatRequest } from '@meritorder/contracts';
import type { SourceRequest } from './read-request.js';

/**
 * What a worker is asked to send, in the dialect of the request's kind: as it came, without what is meant for Meritorder.
 * @param maxTokens what is held for, of one choice
 */
export function upstreamBody(
  { body, source }: { body: ChatRequest; source?: SourceRequest | undefined },
  maxTokens: number,
): Record<string, unknown> {
  switch (source?.kind) {
    case 'embeddings': {
      const { meritorder: _options, metadata: _metadata, ...rest } = source.sent;
      return rest;
    }
    case 'messages': {
      // Its metadata is Anthropic's own.
      const { meritorder: _options, ...rest } = source.sent;
      return { ...rest, max_tokens: maxTokens };
    }
    case 'responses': {
      const { meritorder: _options, metadata: _metadata, ...rest } = source.sent;
      return { ...rest, max_output_tokens: maxTokens };
    }
    default: {
      const { meritorder: _options, metadata: _metadata, max_completion_tokens: _max, ...rest } = body;
      return { ...rest, max_tokens: maxTokens };
    }
  }
}
