import type { Usage } from '../billing/prices.js';
import { invalid, type Refusal, type RefusalKind } from '../engine/refusal.js';
import type { Prompt } from '../text/prompt.js';
import { replyText } from '../text/reply.js';
import { asArray, asObject, asText, modelName, optionalBoolean, optionalWhole, type Fields } from './fields.js';
import type { Answer, CallRequest, Wire, Writer } from './wire.js';

const MAX_TOKENS = 10_000_000;

/** `POST /v1/messages`. */
export const anthropicMessages: Wire = {
  kind: 'chat',
  idPrefix: 'msg_',
  requestIdHeader: 'request-id',
  reportsCacheWrites: true,
  parse: parseMessages,
  writer: (answer) => new MessageWriter(answer),
  error: anthropicError,
  rateHeaders: (limit, remaining) => ({
    'anthropic-ratelimit-requests-limit': `${limit}`,
    'anthropic-ratelimit-requests-remaining': `${remaining}`,
  }),
};

const ERROR_TYPES: Record<RefusalKind, string> = {
  invalid: 'invalid_request_error',
  'context-length': 'invalid_request_error',
  unauthorized: 'authentication_error',
  'not-found': 'not_found_error',
  'too-large': 'request_too_large',
  'rate-limited': 'rate_limit_error',
  overloaded: 'overloaded_error',
  failed: 'api_error',
};

function anthropicError(refusal: Refusal, callId: string): unknown {
  const type = refusal.status === 529 ? 'overloaded_error' : ERROR_TYPES[refusal.kind];
  const where = refusal.field === undefined ? '' : `${refusal.field}: `;
  return { type: 'error', error: { type, message: where + refusal.message }, request_id: callId };
}

function parseMessages(value: unknown): CallRequest {
  const body = asObject(value);
  const maxTokens = optionalWhole(body['max_tokens'], 'max_tokens', 1, MAX_TOKENS);
  if (maxTokens === undefined) throw invalid('Field required', 'max_tokens');
  return {
    model: modelName(body),
    prompt: readPrompt(body),
    choices: 1,
    maxTokens,
    stream: optionalBoolean(body['stream'], 'stream'),
    includeUsage: true,
  };
}

function readPrompt(body: Fields): Prompt {
  const messages = asArray(body['messages'], 'messages');
  const prompt: Prompt = { texts: [], messages: messages.length, images: 0, rawTokens: 0, lastUserText: '' };
  if (body['tools'] !== undefined && body['tools'] !== null) prompt.texts.push(JSON.stringify(body['tools']));
  if (body['system'] !== undefined && body['system'] !== null) {
    prompt.messages++;
    readContent(prompt, body['system'], 'system');
  }
  messages.forEach((item, index) => {
    const field = `messages.${index}`;
    const message = asObject(item, field);
    const role = asText(message['role'], `${field}.role`);
    if (role !== 'user' && role !== 'assistant' && role !== 'system')
      throw invalid("Input should be 'user', 'assistant' or 'system'", `${field}.role`);
    const before = prompt.texts.length;
    readContent(prompt, message['content'], `${field}.content`);
    if (role === 'user') prompt.lastUserText = prompt.texts.slice(before).join('\n');
  });
  return prompt;
}

function readContent(prompt: Prompt, content: unknown, field: string): void {
  if (typeof content === 'string') {
    prompt.texts.push(content);
    return;
  }
  for (const item of asArray(content, field)) {
    const block = asObject(item, field);
    switch (block['type']) {
      case 'text':
        prompt.texts.push(asText(block['text'], `${field}.text`));
        break;
      case 'image':
        prompt.images++;
        break;
      case 'tool_use':
        prompt.texts.push(JSON.stringify(block['input'] ?? {}));
        break;
      case 'tool_result':
        if (block['content'] !== undefined) readContent(prompt, block['content'], `${field}.content`);
        break;
      case 'document':
      case 'search_result':
      case 'server_tool_use':
      case 'web_search_tool_result':
      case 'tool_search_tool_result':
        prompt.texts.push(JSON.stringify(block));
        break;
      default:
        throw invalid(`unknown block type '${String(block['type'])}'`, field);
    }
  }
}

function usageBlock(usage: Usage): Record<string, unknown> {
  return {
    input_tokens: usage.inputTokens,
    cache_creation_input_tokens: usage.cacheWriteTokens,
    cache_read_input_tokens: usage.cachedInputTokens,
    output_tokens: usage.outputTokens,
  };
}

class MessageWriter implements Writer {
  readonly #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  whole(): string {
    const reply = this.#answer.replies[0]!;
    return JSON.stringify({
      ...this.#message([{ type: 'text', text: replyText(reply, 0, reply.tokens) }], this.#stopReason),
      ...this.#usage(this.#answer.usage),
    });
  }

  /** As in the real API, the first event counts the first token already, and later counts contain it. */
  opening(): string {
    const { usage, replies } = this.#answer;
    const first = { ...usage, outputTokens: Math.min(1, replies[0]!.tokens) };
    return (
      event('message_start', { message: { ...this.#message([], null), ...this.#usage(first) } }) +
      event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
      event('ping', {})
    );
  }

  text(_choice: number, text: string): string {
    return event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
  }

  closing(): string {
    const delta = { stop_reason: this.#stopReason, stop_sequence: null };
    return (
      event('content_block_stop', { index: 0 }) +
      event('message_delta', { delta, ...this.#usage(this.#answer.usage) }) +
      event('message_stop', {})
    );
  }

  get #stopReason(): string {
    return this.#answer.replies[0]!.finish === 'stop' ? 'end_turn' : 'max_tokens';
  }

  #message(content: unknown[], stopReason: string | null) {
    const { callId, request } = this.#answer;
    return {
      id: callId,
      type: 'message',
      role: 'assistant',
      model: request.model,
      content,
      stop_reason: stopReason,
      stop_sequence: null,
    };
  }

  #usage(usage: Usage): { usage?: unknown } {
    return this.#answer.omitUsage ? {} : { usage: usageBlock(usage) };
  }
}

function event(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
}
