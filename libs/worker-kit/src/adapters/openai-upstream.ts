import { ChoiceEnds, DistinctCalls } from '@meritorder/dialect-core';
import type { Dialect } from '@meritorder/usage-core';
import { UpstreamError, type ProviderRequest, type ProviderUpstream } from '../application/ports.js';
import { chatBody } from './chat-body.js';
import { errorInAnswer } from './error-in-answer.js';
import { DONE, eventObject, ServerSentEvents } from './sse.js';
import { HttpTransport, SENT_RETRYABLE, type HttpAnswer } from './transport.js';
import { urlAt } from './url-at.js';

/** One of the things that this wire can be asked for. */
export interface OpenAiEndpoint {
  path: string;
  dialect: Dialect;
  streams: boolean;
}
const OPENAI_CHAT: OpenAiEndpoint = { path: '/chat/completions', dialect: 'openai-chat', streams: true };
export const OPENAI_EMBEDDINGS: OpenAiEndpoint = { path: '/embeddings', dialect: 'openai-embeddings', streams: false };

/** The OpenAI-compatible wire, and Azure's, over undici, with every retry off. A stream's head goes with its first word. */
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
    const ends = new ChoiceEnds();
    ends.note(choicesOf(body));
    throwIfBroken(ends);
    return body;
  }

  async *stream(request: ProviderRequest): AsyncIterable<string> {
    const answer = await this.post(request);
    const stream = new ServerSentEvents(answer);
    const calls = new DistinctCalls();
    const ends = new ChoiceEnds();
    const head = new HeldHead();
    let isBroken = false;
    try {
      for (let events = await stream.next(); events.length > 0; events = await stream.next()) {
        for (const { data } of events) {
          if (data === DONE) {
            answer.ended();
            request.reader.end();
            throwIfBroken(ends);
            yield* head.release();
            return;
          }
          const chunk = chunkOf(data);
          const choices = choicesOf(chunk);
          const isSaid = choices.some(saysSomething);
          if (isSaid) answer.heard();
          isBroken = ends.note(choices) || isBroken;
          const forward = chunkFor(request, calls, chunk, data);
          // Of an answer that broke off only its usage is still of interest.
          if (forward === undefined || isBroken || (!isSaid && head.holds(forward))) continue;
          if (!head.isReleased) yield* head.release();
          yield forward;
        }
      }
    } finally {
      answer.done();
    }
    if (isBroken) throwIfBroken(ends);
    if (!isWhole(request, answer, ends))
      throw new UpstreamError('cut', 'the stream ended before [DONE]', SENT_RETRYABLE);
    request.reader.end();
    yield* head.release();
  }

  private post(request: ProviderRequest): Promise<HttpAnswer> {
    const { credential } = request;
    return this.transport.post(request, {
      url: urlAt(credential.baseUrl, this.endpoint.path),
      headers: authorization(request),
      body: JSON.stringify(
        this.endpoint.streams ? chatBody(request) : { ...request.body, model: request.backend.model },
      ),
    });
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}

function authorization({ backend, credential: { apiKey } }: ProviderRequest): Record<string, string> {
  if (apiKey === undefined) return {};
  return backend.protocol === 'azure' ? { 'api-key': apiKey } : { authorization: `Bearer ${apiKey}` };
}

/**
 * Of a stream without [DONE], as Perplexity and TGI send them: whether nothing is missing. Its end is not that of a connection
 * that may have been lost, all choices that were asked for have ended, and the usage is the last word.
 */
function isWhole({ body, reader }: ProviderRequest, answer: HttpAnswer, ends: ChoiceEnds): boolean {
  const { n: choices } = body;
  return answer.saysItsLength && ends.complete(typeof choices === 'number' ? choices : 1) && reader.read().complete;
}

/** What the provider counted is charged all the same. @throws UpstreamError */
function throwIfBroken({ broken }: ChoiceEnds): void {
  if (broken !== undefined) throw new UpstreamError('cut', broken, SENT_RETRYABLE);
}

/** @throws UpstreamError where it is none, or a failure */
function chunkOf(data: string): Record<string, unknown> {
  const chunk = eventObject(data);
  if (chunk['error']) throw errorInAnswer(chunk['error']);
  return chunk;
}

function choicesOf({ choices }: Record<string, unknown>): Choice[] {
  return Array.isArray(choices) ? choices : [];
}

/**
 * What the caller gets of one event: the bytes that came, unless it has a usage block that was not asked for, or calls of tools
 * that share an index with others.
 */
function chunkFor(
  { reader, includeUsage }: ProviderRequest,
  calls: DistinctCalls,
  chunk: Record<string, unknown>,
  data: string,
): string | undefined {
  reader.feed(chunk);
  const distinct = calls.of(chunk);
  if (!chunk['usage'] || includeUsage) return distinct === chunk ? data : JSON.stringify(distinct);
  const { usage: _usage, ...rest } = distinct;
  return choicesOf(chunk).length > 0 ? JSON.stringify(rest) : undefined;
}

/** Of chunks without a word: nobody needs more of them, and they are kept in memory. */
const MOST_HELD_CHARACTERS = 262_144;

/**
 * What a stream begins with before anything is said: roles, one chunk for each choice, and what Azure's filter says of the prompt.
 * It is kept back until then, for models may think for minutes after it, and before the first word another backend may still answer.
 */
class HeldHead {
  private chunks: string[] = [];
  private characters = 0;
  isReleased = false;

  /** @returns whether it is kept */
  holds(chunk: string): boolean {
    this.characters += chunk.length;
    if (this.isReleased || this.characters > MOST_HELD_CHARACTERS) return false;
    this.chunks.push(chunk);
    return true;
  }

  /** All that was kept, once. */
  release(): readonly string[] {
    const { chunks } = this;
    this.chunks = [];
    this.isReleased = true;
    return chunks;
  }
}

/** Many begin with a chunk that names the role and is empty, long before the model has said anything. */
function saysSomething(choice: Choice): boolean {
  if (choice.finish_reason || choice.text) return true;
  const { delta } = choice;
  for (const name in delta) if (name !== 'role' && delta[name] && (delta[name] as unknown[]).length !== 0) return true;
  return false;
}

interface Choice {
  finish_reason?: unknown;
  delta?: Record<string, unknown>;
  text?: unknown;
}
