import { EventStreamCodec } from '@smithy/eventstream-codec';
import type { Usage } from '../billing/prices.js';
import { invalid, type Refusal, type RefusalKind } from '../engine/refusal.js';
import type { Prompt } from '../text/prompt.js';
import { replyText } from '../text/reply.js';
import { asArray, asObject, asText, optionalWhole, type Fields } from './fields.js';
import type { Answer, CallRequest, Wire, Writer } from './wire.js';

const MAX_TOKENS = 10_000_000;

/** `POST /model/NAME/converse` and `/converse-stream`. Signatures are not checked. */
export function bedrockConverse(model: string, stream: boolean): Wire {
  return {
    kind: 'chat',
    idPrefix: '',
    requestIdHeader: 'x-amzn-requestid',
    reportsCacheWrites: true,
    frames: { contentType: 'application/vnd.amazon.eventstream' },
    parse: (body) => parseConverse(body, model, stream),
    writer: (answer) => new ConverseWriter(answer),
    error: converseError,
    rateHeaders: () => ({}),
  };
}

const EXCEPTIONS: Record<RefusalKind, string> = {
  invalid: 'ValidationException',
  'context-length': 'ValidationException',
  unauthorized: 'AccessDeniedException',
  'not-found': 'ResourceNotFoundException',
  'too-large': 'ValidationException',
  'rate-limited': 'ThrottlingException',
  overloaded: 'ServiceUnavailableException',
  failed: 'InternalServerException',
};

function converseError({ kind, message }: Refusal): unknown {
  return { __type: EXCEPTIONS[kind], message };
}

function parseConverse(value: unknown, model: string, stream: boolean): CallRequest {
  const body = asObject(value);
  const config = body['inferenceConfig'] === undefined ? {} : asObject(body['inferenceConfig'], 'inferenceConfig');
  return {
    model,
    prompt: readPrompt(body),
    choices: 1,
    maxTokens: optionalWhole(config['maxTokens'], 'inferenceConfig.maxTokens', 1, MAX_TOKENS),
    stream,
    includeUsage: true,
  };
}

function readPrompt(body: Fields): Prompt {
  const messages = asArray(body['messages'], 'messages');
  const prompt: Prompt = { texts: [], messages: messages.length, images: 0, rawTokens: 0, lastUserText: '' };
  if (body['toolConfig'] !== undefined) prompt.texts.push(JSON.stringify(body['toolConfig']));
  const system = body['system'];
  if (Array.isArray(system) && system.length > 0) {
    prompt.messages++;
    readBlocks(prompt, system, 'system');
  }
  messages.forEach((item, index) => {
    const field = `messages.${index}`;
    const message = asObject(item, field);
    const role = asText(message['role'], `${field}.role`);
    if (role !== 'user' && role !== 'assistant') throw invalid(`'${role}' is no role`, `${field}.role`);
    const before = prompt.texts.length;
    readBlocks(prompt, message['content'], `${field}.content`);
    if (role === 'user') prompt.lastUserText = prompt.texts.slice(before).join('\n');
  });
  return prompt;
}

function readBlocks(prompt: Prompt, blocks: unknown, field: string): void {
  for (const item of asArray(blocks, field)) {
    const block = asObject(item, field);
    if (block['text'] !== undefined) prompt.texts.push(asText(block['text'], `${field}.text`));
    else if (block['image'] !== undefined) prompt.images++;
    else if (block['toolUse'] !== undefined || block['toolResult'] !== undefined)
      prompt.texts.push(JSON.stringify(block['toolUse'] ?? block['toolResult']));
    else if (block['cachePoint'] === undefined) throw invalid('a block of an unknown kind', field);
  }
}

/** What the cache has lies outside `inputTokens`, and inside the total. */
function usageBlock({ inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens }: Usage): unknown {
  return {
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + cachedInputTokens + cacheWriteTokens + outputTokens,
    cacheReadInputTokens: cachedInputTokens,
    cacheWriteInputTokens: cacheWriteTokens,
  };
}

class ConverseWriter implements Writer {
  readonly #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  whole(): string {
    const reply = this.#answer.replies[0]!;
    const content = [{ text: replyText(reply, 0, reply.tokens) }];
    return JSON.stringify({
      output: { message: { role: 'assistant', content } },
      stopReason: this.#stopReason,
      metrics: { latencyMs: 1 },
      ...this.#usage,
    });
  }

  opening(): string {
    return frame('messageStart', { role: 'assistant' });
  }

  text(_choice: number, text: string): string {
    return frame('contentBlockDelta', { contentBlockIndex: 0, delta: { text } });
  }

  closing(): string {
    return (
      frame('contentBlockStop', { contentBlockIndex: 0 }) +
      frame('messageStop', { stopReason: this.#stopReason }) +
      frame('metadata', { metrics: { latencyMs: 1 }, ...this.#usage })
    );
  }

  get #stopReason(): string {
    return this.#answer.replies[0]!.finish === 'stop' ? 'end_turn' : 'max_tokens';
  }

  get #usage(): { usage?: unknown } {
    return this.#answer.omitUsage ? {} : { usage: usageBlock(this.#answer.usage) };
  }
}

const utf8 = new TextEncoder();
const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString('utf8'),
  (text) => utf8.encode(text),
);

/** One binary frame, a character for each byte. */
function frame(name: string, payload: object): string {
  const header = (value: string) => ({ type: 'string' as const, value });
  const bytes = codec.encode({
    headers: {
      ':event-type': header(name),
      ':content-type': header('application/json'),
      ':message-type': header('event'),
    },
    body: utf8.encode(JSON.stringify(payload)),
  });
  return Buffer.from(bytes).toString('latin1');
}
