import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { Pool, type Dispatcher } from 'undici';
import type { BackendConfig } from '@meritorder/contracts';
import type { Dialect } from '@meritorder/usage-core';
import { UpstreamError, type FailureCode, type Upstream, type UpstreamRequest } from '../application/ports.js';

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;

/** One of the things that this wire can be asked for. */
export interface OpenAiEndpoint {
  path: string;
  dialect: Dialect;
  streams: boolean;
}
const OPENAI_CHAT: OpenAiEndpoint = { path: '/chat/completions', dialect: 'openai-chat', streams: true };
export const OPENAI_EMBEDDINGS: OpenAiEndpoint = { path: '/embeddings', dialect: 'openai-embeddings', streams: false };

/** The OpenAI-compatible wire over undici, with every retry off. */
export class OpenAiUpstream implements Upstream {
  readonly dialect: Dialect;
  private readonly pools = new Map<string, Pool>();

  constructor(
    private readonly apiKeyOf: (backend: BackendConfig) => string | undefined,
    private readonly endpoint: OpenAiEndpoint = OPENAI_CHAT,
  ) {
    this.dialect = endpoint.dialect;
  }

  async complete(request: UpstreamRequest): Promise<Record<string, unknown>> {
    const response = await this.post(request);
    const text = await readBody(response, request, MAX_ANSWER_BYTES);
    let body: Record<string, unknown>;
    try {
      body = JSON.parse(text) as Record<string, unknown>;
    } catch {
      throw new UpstreamError('protocol', 'the answer is not JSON', SENT_RETRYABLE);
    }
    request.reader.feed(body);
    request.reader.end();
    return body;
  }

  async *stream(request: UpstreamRequest): AsyncIterable<string> {
    const response = await this.post(request);
    const events: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (event) => events.push(event) });
    const decoder = new TextDecoder();
    let pendingCharacters = 0;
    try {
      for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
        const text = decoder.decode(bytes, { stream: true });
        pendingCharacters = events.length === 0 ? pendingCharacters + text.length : 0;
        if (pendingCharacters > MAX_EVENT_CHARACTERS)
          throw new UpstreamError('protocol', 'an event without an end', SENT_FINAL);
        parser.feed(text);
        for (const { data } of events.splice(0)) {
          if (data === '[DONE]') {
            request.reader.end();
            return;
          }
          const forward = chunkFor(request, data);
          if (forward !== undefined) yield forward;
        }
      }
      // Some servers leave out the empty line after the last event.
      parser.feed('\n\n');
      if (events.some(({ data }) => data === '[DONE]')) {
        request.reader.end();
        return;
      }
    } catch (error) {
      throw transportError(error, request, true);
    } finally {
      response.body.destroy();
    }
    throw new UpstreamError('cut', 'the stream ended before [DONE]', SENT_RETRYABLE);
  }

  private async post(request: UpstreamRequest): Promise<Dispatcher.ResponseData> {
    const { backend } = request;
    const url = new URL(`${backend.baseUrl.replace(/\/$/, '')}${this.endpoint.path}`);
    const key = this.apiKeyOf(backend);
    const body = {
      ...request.body,
      model: backend.model,
      ...(this.endpoint.streams
        ? { stream: request.stream, stream_options: request.stream ? { include_usage: true } : undefined }
        : {}),
    };
    let response: Dispatcher.ResponseData;
    try {
      response = await this.pool(backend, url.origin).request({
        method: 'POST',
        path: url.pathname + url.search,
        headers: {
          'content-type': 'application/json',
          accept: request.stream ? 'text/event-stream' : 'application/json',
          'x-client-request-id': request.attemptId,
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
          ...request.headers,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.any([request.signal, AbortSignal.timeout(Math.max(1, request.deadlineMs - Date.now()))]),
        headersTimeout: backend.firstTokenTimeoutMs,
        bodyTimeout: backend.betweenTokensTimeoutMs,
      });
    } catch (error) {
      throw transportError(error, request, false);
    }
    if (response.statusCode >= 400) throw await refusal(response, request);
    return response;
  }

  private pool(backend: BackendConfig, origin: string): Pool {
    const name = `${origin} ${backend.connectTimeoutMs}`;
    let pool = this.pools.get(name);
    if (!pool) {
      pool = new Pool(origin, {
        connections: 256,
        pipelining: 1,
        connectTimeout: backend.connectTimeoutMs,
        keepAliveTimeout: 30_000,
      });
      this.pools.set(name, pool);
    }
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all([...this.pools.values()].map((p) => p.destroy()));
  }
}

const SENT_RETRYABLE = { retryable: true, sent: true, refusedUpstream: false };
const SENT_FINAL = { retryable: false, sent: true, refusedUpstream: false };

/** What the caller gets of one event: the event, without a usage block that it did not ask for. */
function chunkFor({ reader, includeUsage }: UpstreamRequest, data: string): string | undefined {
  const chunk = eventOf(data);
  if (chunk['error'])
    throw new UpstreamError('server-error', messageOf(chunk['error']) ?? 'an error inside the stream', SENT_RETRYABLE);
  reader.feed(chunk);
  if (!chunk['usage'] || includeUsage) return data;
  const { usage: _usage, ...rest } = chunk;
  return Array.isArray(rest['choices']) && rest['choices'].length > 0 ? JSON.stringify(rest) : undefined;
}

function eventOf(data: string): Record<string, unknown> {
  let event: unknown;
  try {
    event = JSON.parse(data);
  } catch {
    event = undefined;
  }
  if (typeof event !== 'object' || event === null)
    throw new UpstreamError('protocol', 'an event is not JSON', SENT_RETRYABLE);
  return event as Record<string, unknown>;
}

async function readBody(response: Dispatcher.ResponseData, request: UpstreamRequest, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
      size += bytes.length;
      if (size > limit) throw new UpstreamError('protocol', `the answer has more than ${limit} bytes`, SENT_FINAL);
      parts.push(bytes);
    }
  } catch (error) {
    throw transportError(error, request, true);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** One table from status codes to what they mean for the caller and for money. */
async function refusal(response: Dispatcher.ResponseData, request: UpstreamRequest): Promise<UpstreamError> {
  const status = response.statusCode;
  const text = await readBody(response, request, MAX_ERROR_BYTES).catch(() => '');
  let parsed: unknown;
  try {
    parsed = (JSON.parse(text) as Record<string, unknown>)['error'];
  } catch {
    parsed = undefined;
  }
  const message = `${status} ${messageOf(parsed) ?? text.slice(0, 200)}`.trim();
  const contextLength =
    (parsed as { code?: unknown } | undefined)?.code === 'context_length_exceeded' ||
    /maximum context length|context window/i.test(message);
  const [code, retryable]: [FailureCode, boolean] =
    status === 429
      ? ['quota', true]
      : status === 408 || status >= 500
        ? ['server-error', true]
        : contextLength
          ? ['context-length', true]
          : status === 401 || status === 403 || status === 404
            ? ['server-error', true]
            : ['caller-fault', false];
  const retryAfter = Number(response.headers['retry-after']);
  return new UpstreamError(code, message, {
    retryable,
    sent: true,
    refusedUpstream: true,
    status,
    retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : undefined,
  });
}

function messageOf(error: unknown): string | undefined {
  const message = (error as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message.slice(0, 400) : undefined;
}

const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Connection and time-out errors. Only what surely never left is "not sent". */
function transportError(error: unknown, request: UpstreamRequest, answering: boolean): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const { code, name, message } = error as { code?: string; name?: string; message: string };
  if (!answering && code && NEVER_CONNECTED.has(code)) {
    return new UpstreamError('connect', `cannot connect (${code})`, {
      retryable: true,
      sent: false,
      refusedUpstream: false,
    });
  }
  if (request.signal.aborted) return new UpstreamError('cancelled', 'cancelled', SENT_FINAL);
  if (name === 'TimeoutError') return new UpstreamError('timeout', 'the deadline passed', SENT_FINAL);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new UpstreamError('timeout', answering ? 'no token for too long' : 'no first token in time', SENT_RETRYABLE);
  }
  return new UpstreamError('cut', `the connection was lost (${code ?? message})`, SENT_RETRYABLE);
}
