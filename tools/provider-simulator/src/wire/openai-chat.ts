import { invalid } from '../engine/refusal.js';
import type { Prompt } from '../text/prompt.js';
import { replyText } from '../text/reply.js';
import { asArray, asObject, asText, modelName, optionalBoolean, optionalWhole, type Fields } from './fields.js';
import { openAiError, openAiRateHeaders } from './openai-errors.js';
import type { Answer, CallRequest, Wire, Writer } from './wire.js';

const MAX_CHOICES = 128;
const MAX_TOKENS = 10_000_000;

/** `POST /v1/chat/completions`. */
export const openAiChat: Wire = {
  kind: 'chat',
  idPrefix: 'chatcmpl-',
  requestIdHeader: 'x-request-id',
  reportsCacheWrites: false,
  parse: parseChat,
  writer: (answer) => new ChatWriter(answer),
  error: openAiError,
  rateHeaders: openAiRateHeaders,
};

function parseChat(value: unknown): CallRequest {
  const body = asObject(value);
  const stream = optionalBoolean(body['stream'], 'stream');
  const options = body['stream_options'];
  if (options !== undefined && options !== null && !stream) {
    throw invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options');
  }
  const maxTokens =
    optionalWhole(body['max_completion_tokens'], 'max_completion_tokens', 1, MAX_TOKENS) ??
    optionalWhole(body['max_tokens'], 'max_tokens', 1, MAX_TOKENS);
  return {
    model: modelName(body),
    prompt: readPrompt(body),
    choices: optionalWhole(body['n'], 'n', 1, MAX_CHOICES) ?? 1,
    maxTokens,
    stream,
    includeUsage:
      stream &&
      options !== undefined &&
      options !== null &&
      optionalBoolean(asObject(options, 'stream_options')['include_usage'], 'stream_options.include_usage'),
  };
}

function readPrompt(body: Fields): Prompt {
  const messages = asArray(body['messages'], 'messages');
  const prompt: Prompt = { texts: [], messages: messages.length, images: 0, rawTokens: 0, lastUserText: '' };
  for (const part of ['tools', 'functions', 'response_format']) {
    if (body[part] !== undefined && body[part] !== null) prompt.texts.push(JSON.stringify(body[part]));
  }
  messages.forEach((item, index) => {
    const field = `messages[${index}]`;
    const message = asObject(item, field);
    const role = asText(message['role'], `${field}.role`);
    const before = prompt.texts.length;
    readContent(prompt, message['content'], `${field}.content`);
    if (role === 'user') prompt.lastUserText = prompt.texts.slice(before).join('\n');
    if (message['tool_calls']) prompt.texts.push(JSON.stringify(message['tool_calls']));
  });
  return prompt;
}

const COUNTED_PARTS: ReadonlySet<unknown> = new Set(['image_url', 'file', 'input_audio']);

function readContent(prompt: Prompt, content: unknown, field: string): void {
  if (content === undefined || content === null) return;
  if (typeof content === 'string') {
    prompt.texts.push(content);
    return;
  }
  for (const item of asArray(content, field)) {
    const part = asObject(item, field);
    if (part['type'] === 'text') prompt.texts.push(asText(part['text'], `${field}.text`));
    else if (part['type'] === 'refusal') prompt.texts.push(asText(part['refusal'], `${field}.refusal`));
    else if (COUNTED_PARTS.has(part['type'])) prompt.images++;
    else throw invalid(`'${field}' has a part of the unknown type '${String(part['type'])}'.`, field);
  }
}

const NANOS_PER_USD = 1_000_000_000;

function usageBlock({ usage, costNanos }: Answer): unknown {
  const promptTokens = usage.inputTokens + usage.cachedInputTokens + usage.cacheWriteTokens;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: promptTokens + usage.outputTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedInputTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
    ...(costNanos ? { cost: Number(costNanos()) / NANOS_PER_USD, is_byok: false } : {}),
  };
}

class ChatWriter implements Writer {
  readonly #answer: Answer;
  /** Everything before the choices, and everything after them, is the same in each event of a stream. */
  readonly #head: string;
  readonly #tail: string;

  constructor(answer: Answer) {
    this.#answer = answer;
    this.#head = `data: ${JSON.stringify(this.#base('chat.completion.chunk')).slice(0, -1)},"choices":[`;
    this.#tail = this.#sendsUsage ? '],"usage":null}\n\n' : ']}\n\n';
  }

  whole(): string {
    const { replies, omitUsage } = this.#answer;
    return JSON.stringify({
      ...this.#base('chat.completion'),
      choices: replies.map((reply, index) => ({
        index,
        message: { role: 'assistant', content: replyText(reply, 0, reply.tokens), refusal: null },
        logprobs: null,
        finish_reason: reply.finish,
      })),
      ...(omitUsage ? {} : { usage: usageBlock(this.#answer) }),
    });
  }

  opening(): string {
    return this.#answer.replies
      .map((_, index) =>
        this.#event(`{"index":${index},"delta":{"role":"assistant","content":""},"finish_reason":null}`),
      )
      .join('');
  }

  text(choice: number, text: string): string {
    return this.#event(`{"index":${choice},"delta":{"content":${JSON.stringify(text)}},"finish_reason":null}`);
  }

  closing(): string {
    const ends = this.#answer.replies
      .map((reply, index) => this.#event(`{"index":${index},"delta":{},"finish_reason":"${reply.finish}"}`))
      .join('');
    const usage = this.#sendsUsage ? `${this.#head}],"usage":${JSON.stringify(usageBlock(this.#answer))}}\n\n` : '';
    return `${ends}${usage}data: [DONE]\n\n`;
  }

  get #sendsUsage(): boolean {
    return this.#answer.request.includeUsage && !this.#answer.omitUsage;
  }

  #event(choice: string): string {
    return this.#head + choice + this.#tail;
  }

  #base(object: string) {
    const { callId, createdAtMs, request } = this.#answer;
    return {
      id: callId,
      object,
      created: Math.floor(createdAtMs / 1_000),
      model: request.model,
      system_fingerprint: 'fp_simulator',
    };
  }
}
