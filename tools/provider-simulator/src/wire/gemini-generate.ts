import type { Usage } from '../billing/prices.js';
import { invalid, type Refusal, type RefusalKind } from '../engine/refusal.js';
import type { Prompt } from '../text/prompt.js';
import { replyText } from '../text/reply.js';
import { asArray, asObject, asText, optionalWhole, type Fields } from './fields.js';
import type { Answer, CallRequest, Wire, Writer } from './wire.js';

const MAX_TOKENS = 10_000_000;

/** `POST /v1beta/models/NAME:generateContent` and `:streamGenerateContent?alt=sse`. */
export function geminiGenerate(model: string, stream: boolean): Wire {
  return {
    kind: 'chat',
    idPrefix: '',
    requestIdHeader: 'x-request-id',
    reportsCacheWrites: false,
    parse: (body) => parseContents(body, model, stream),
    writer: (answer) => new ContentWriter(answer),
    error: geminiError,
    rateHeaders: () => ({}),
  };
}

const STATUSES: Record<RefusalKind, string> = {
  invalid: 'INVALID_ARGUMENT',
  'context-length': 'INVALID_ARGUMENT',
  unauthorized: 'UNAUTHENTICATED',
  'not-found': 'NOT_FOUND',
  'too-large': 'INVALID_ARGUMENT',
  'rate-limited': 'RESOURCE_EXHAUSTED',
  overloaded: 'UNAVAILABLE',
  failed: 'INTERNAL',
};

function geminiError({ status, kind, message, retryAfterMs }: Refusal): unknown {
  const delay = retryAfterMs === undefined ? undefined : `${retryAfterMs / 1_000}s`;
  const details = delay && [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: delay }];
  return { error: { code: status, message, status: STATUSES[kind], ...(details ? { details } : {}) } };
}

function parseContents(value: unknown, model: string, stream: boolean): CallRequest {
  const body = asObject(value);
  const config = body['generationConfig'] === undefined ? {} : asObject(body['generationConfig'], 'generationConfig');
  return {
    model,
    prompt: readPrompt(body),
    choices: 1,
    maxTokens: optionalWhole(config['maxOutputTokens'], 'generationConfig.maxOutputTokens', 1, MAX_TOKENS),
    stream,
    includeUsage: true,
  };
}

function readPrompt(body: Fields): Prompt {
  const contents = asArray(body['contents'], 'contents');
  const prompt: Prompt = { texts: [], messages: contents.length, images: 0, rawTokens: 0, lastUserText: '' };
  if (body['tools'] !== undefined) prompt.texts.push(JSON.stringify(body['tools']));
  if (body['systemInstruction'] !== undefined) {
    prompt.messages++;
    readParts(prompt, asObject(body['systemInstruction'], 'systemInstruction'), 'systemInstruction');
  }
  contents.forEach((item, index) => {
    const field = `contents.${index}`;
    const content = asObject(item, field);
    const role = asText(content['role'], `${field}.role`);
    if (role !== 'user' && role !== 'model') throw invalid('Please use a valid role: user, model.', `${field}.role`);
    const before = prompt.texts.length;
    readParts(prompt, content, field);
    if (role === 'user') prompt.lastUserText = prompt.texts.slice(before).join('\n');
  });
  return prompt;
}

function readParts(prompt: Prompt, content: Fields, field: string): void {
  for (const item of asArray(content['parts'], `${field}.parts`)) {
    const part = asObject(item, field);
    if (part['text'] !== undefined) prompt.texts.push(asText(part['text'], `${field}.text`));
    else if (part['inlineData'] !== undefined) prompt.images++;
    else if (part['functionCall'] !== undefined || part['functionResponse'] !== undefined)
      prompt.texts.push(JSON.stringify(part['functionCall'] ?? part['functionResponse']));
    else throw invalid('a part of an unknown kind', field);
  }
}

/** Cached tokens are inside the prompt; each block of a stream counts all that was generated until then. */
function usageBlock({ inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens }: Usage): unknown {
  const promptTokenCount = inputTokens + cachedInputTokens + cacheWriteTokens;
  return {
    promptTokenCount,
    ...(cachedInputTokens > 0 ? { cachedContentTokenCount: cachedInputTokens } : {}),
    candidatesTokenCount: outputTokens,
    totalTokenCount: promptTokenCount + outputTokens,
  };
}

class ContentWriter implements Writer {
  readonly #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  whole(): string {
    const reply = this.#answer.replies[0]!;
    return JSON.stringify(this.#response(replyText(reply, 0, reply.tokens), this.#finishReason));
  }

  opening(): string {
    return '';
  }

  text(_choice: number, text: string): string {
    return event(this.#response(text));
  }

  closing(): string {
    return event(this.#response('', this.#finishReason));
  }

  get #finishReason(): string {
    return this.#answer.replies[0]!.finish === 'stop' ? 'STOP' : 'MAX_TOKENS';
  }

  #response(text: string, finishReason?: string): object {
    const { callId, request, omitUsage, usage } = this.#answer;
    const content = { role: 'model', parts: [{ text }] };
    return {
      candidates: [{ content, index: 0, ...(finishReason === undefined ? {} : { finishReason }) }],
      ...(omitUsage ? {} : { usageMetadata: usageBlock(usage) }),
      modelVersion: request.model,
      responseId: callId,
    };
  }
}

function event(data: object): string {
  return `data: ${JSON.stringify(data)}\r\n\r\n`;
}
