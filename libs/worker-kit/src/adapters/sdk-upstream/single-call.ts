import type { LanguageModelV4CallOptions } from '@ai-sdk/provider';
import { unsaidOnWire, type SdkProtocol } from '@meritorder/dialect-core';
import { UpstreamError, type ProviderRequest } from '../../application/ports.js';
import { errorInAnswer } from '../error-in-answer.js';
import { SENT_FINAL, SENT_RETRYABLE, type HttpAnswer, type HttpTransport } from '../transport.js';

const MAX_EVENT_BYTES = 4 * 1024 * 1024;
const NOT_SENT = { retryable: true, sent: false, refusedUpstream: false };

/**
 * What an SDK takes for `fetch`: one physical call, over the transport of all providers, and no second one. Some SDKs call again
 * by themselves, to go on with an answer or to fetch a file; that would be an attempt that nobody reserved.
 */
export class SingleCall {
  private answer: HttpAnswer | undefined;
  private isSent = false;
  /** Why it failed here; SDKs wrap what they catch. */
  private failure: UpstreamError | undefined;
  /** All bytes of the stream were read, so what is wrong with it is its end. */
  private hasEnded = false;
  /** Since the SDK last said something. */
  private unheardBytes = 0;

  constructor(
    private readonly transport: HttpTransport,
    private readonly protocol: SdkProtocol,
    private readonly request: ProviderRequest,
    private readonly asked: LanguageModelV4CallOptions,
  ) {}

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    try {
      const body = init?.body;
      if (typeof input !== 'string' || typeof body !== 'string') throw new Error('the SDK sends no text');
      if (this.isSent) throw new UpstreamError('protocol', 'the answer is to be continued by another call', SENT_FINAL);
      const unsaid = unsaidOnWire(this.protocol, this.asked, JSON.parse(body) as Record<string, unknown>);
      if (unsaid !== undefined)
        throw new UpstreamError('caller-fault', `${this.request.backend.model} cannot be told ${unsaid}`, NOT_SENT);
      return await this.send(input, body, new Headers(init?.headers));
    } catch (error) {
      throw this.failed(error);
    }
  };

  /** An event of the stream was read. @param generated it has tokens, or is what there is in place of them */
  heard(generated: boolean): void {
    this.unheardBytes = 0;
    if (generated) this.answer?.heard();
  }

  /** Nobody reads on. */
  leave(): void {
    this.answer?.leave();
  }

  /** What it means that the SDK threw, or said, this. */
  failed(error: unknown): UpstreamError {
    if (this.failure) return this.failure;
    if (error instanceof UpstreamError) return (this.failure = error);
    const { message, statusCode, type } = error as { message?: unknown; statusCode?: unknown; type?: unknown };
    const words = typeof message === 'string' ? message.slice(0, 400) : 'an error of the SDK';
    if (!this.isSent) return new UpstreamError('caller-fault', words, NOT_SENT);
    if (this.hasEnded && statusCode === undefined) return new UpstreamError('cut', words, SENT_RETRYABLE);
    if (typeof statusCode !== 'number' || statusCode < 400) return new UpstreamError('protocol', words, SENT_RETRYABLE);
    return errorInAnswer({ code: statusCode, type, message: words });
  }

  private async send(url: string, body: string, headers: Headers): Promise<Response> {
    const { request } = this;
    this.isSent = true;
    try {
      this.answer = await this.transport.post(request, { url, headers: Object.fromEntries(headers), body });
    } catch (error) {
      this.isSent = !(error instanceof UpstreamError) || error.details.sent;
      throw error;
    }
    const said = new Headers();
    for (const [name, value] of Object.entries(this.answer.headers))
      if (value !== undefined) said.set(name, `${value}`);
    if (request.stream) return new Response(ReadableStream.from(this.bytes(this.answer)), { headers: said });
    const text = await this.answer.text();
    // The books read what was sent, whatever the SDK makes of it.
    request.reader.feedText(text);
    return new Response(text, { headers: said });
  }

  private async *bytes(answer: HttpAnswer): AsyncGenerator<Uint8Array, void> {
    try {
      for await (const bytes of answer.bytes()) {
        this.unheardBytes += bytes.length;
        if (this.unheardBytes > MAX_EVENT_BYTES)
          throw new UpstreamError('protocol', 'an event without an end', SENT_FINAL);
        yield bytes;
      }
      this.hasEnded = true;
    } catch (error) {
      throw this.failed(error);
    }
  }
}
