import type { Dialect } from '@meritorder/usage-core';
import { UpstreamError, type ProviderRequest, type ProviderUpstream } from '../application/ports.js';
import { refusalInAnswer } from './refusal.js';
import { DONE, eventObject, serverSentEvents } from './sse.js';
import { HttpTransport, SENT_RETRYABLE, type HttpAnswer } from './transport.js';

/** One of the things that this wire can be asked for. */
export interface OpenAiEndpoint {
  path: string;
  dialect: Dialect;
  streams: boolean;
}
const OPENAI_CHAT: OpenAiEndpoint = { path: '/chat/completions', dialect: 'openai-chat', streams: true };
export const OPENAI_EMBEDDINGS: OpenAiEndpoint = { path: '/embeddings', dialect: 'openai-embeddings', streams: false };

/** The OpenAI-compatible wire over undici, with every retry off. */
export class OpenAiUpstream implements ProviderUpstream {
  readonly dialect: Dialect;
  private readonly transport = new HttpTransport();

  constructor(private readonly endpoint: OpenAiEndpoint = OPENAI_CHAT) {
    this.dialect = endpoint.dialect;
  }

  async complete(request: ProviderRequest): Promise<Record<string, unknown>> {
    const answer = await this.post(request);
    const body = await answer.json();
    // OpenRouter has failures of whoever it asked in an answer of status 200.
    if (body['error']) throw errorInAnswer(body['error']);
    request.reader.feed(body);
    request.reader.end();
    return body;
  }

  async *stream(request: ProviderRequest): AsyncIterable<string> {
    const answer = await this.post(request);
    for await (const events of serverSentEvents(answer)) {
      answer.heard();
      for (const { data } of events) {
        if (data === DONE) {
          request.reader.end();
          return;
        }
        const forward = chunkFor(request, data);
        if (forward !== undefined) yield forward;
      }
    }
    throw new UpstreamError('cut', 'the stream ended before [DONE]', SENT_RETRYABLE);
  }

  private post(request: ProviderRequest): Promise<HttpAnswer> {
    const { backend, credential } = request;
    const body = {
      ...request.body,
      model: backend.model,
      ...(this.endpoint.streams
        ? { stream: request.stream, stream_options: request.stream ? { include_usage: true } : undefined }
        : {}),
    };
    return this.transport.post(request, {
      url: `${credential.baseUrl}${this.endpoint.path}`,
      headers: credential.apiKey === undefined ? {} : { authorization: `Bearer ${credential.apiKey}` },
      body: JSON.stringify(body),
    });
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}

/** What the caller gets of one event: the event, without a usage block that it did not ask for. */
function chunkFor({ reader, includeUsage }: ProviderRequest, data: string): string | undefined {
  const chunk = eventObject(data);
  if (chunk['error']) throw errorInAnswer(chunk['error']);
  reader.feed(chunk);
  if (!chunk['usage'] || includeUsage) return data;
  const { usage: _usage, ...rest } = chunk;
  return Array.isArray(rest['choices']) && rest['choices'].length > 0 ? JSON.stringify(rest) : undefined;
}

function errorInAnswer(error: unknown): UpstreamError {
  const { code, message, retryable, retryAfterSeconds } = refusalInAnswer(error, Date.now());
  return new UpstreamError(code, message, { retryable, sent: true, refusedUpstream: false, retryAfterSeconds });
}
