import { betasFor } from '@meritorder/contracts';
import { withCallIdsOfAnthropic } from '@meritorder/dialect-core';
import type { Dialect } from '@meritorder/usage-core';
import { UpstreamError, type ProviderRequest, type ProviderUpstream } from '../application/ports.js';
import { errorInAnswer } from './error-in-answer.js';
import { eventObject, ServerSentEvents } from './sse.js';
import { HttpTransport, SENT_RETRYABLE, type HttpAnswer } from './transport.js';
import { urlAt } from './url-at.js';

/** The version of the protocol that this is written for. */
export const ANTHROPIC_VERSION = '2023-06-01';

/**
 * Anthropic's messages as they came, cache marks and all, over undici with every retry off. Pings go nowhere, and the stream's
 * head is kept back until something is said: before that another backend may still answer.
 */
export class AnthropicUpstream implements ProviderUpstream {
  readonly dialect: Dialect = 'anthropic-messages';
  private readonly transport = new HttpTransport();

  async complete(request: ProviderRequest): Promise<Record<string, unknown>> {
    const answer = await this.post(request);
    const body = await answer.json();
    if (body['type'] === 'error') throw errorInAnswer(body['error']);
    request.reader.feed(body);
    request.reader.end();
    return body;
  }

  async *stream(request: ProviderRequest): AsyncIterable<string> {
    const { reader } = request;
    const answer = await this.post(request);
    let head: string | undefined;
    const stream = new ServerSentEvents(answer);
    try {
      for (let events = await stream.next(); events.length > 0; events = await stream.next()) {
        for (const { data } of events) {
          const event = eventObject(data);
          switch (event['type']) {
            case 'ping':
              continue;
            case 'error':
              throw errorInAnswer(event['error']);
            case 'message_stop':
              answer.ended();
              reader.end();
              if (head !== undefined) yield head;
              return;
            case 'message_start':
              reader.feed(event);
              head = data;
              continue;
          }
          answer.heard();
          reader.feed(event);
          if (head !== undefined) yield head;
          head = undefined;
          yield data;
        }
      }
    } finally {
      answer.done();
    }
    throw new UpstreamError('cut', 'the stream ended before message_stop', SENT_RETRYABLE);
  }

  private post(request: ProviderRequest): Promise<HttpAnswer> {
    const { backend, credential } = request;
    const { betas: asked, ...body } = request.body;
    const betas = betasFor(backend, Array.isArray(asked) ? (asked as string[]) : []);
    const messages = withCallIdsOfAnthropic(body['messages']);
    return this.transport.post(request, {
      url: urlAt(credential.baseUrl, '/messages'),
      headers: {
        'anthropic-version': ANTHROPIC_VERSION,
        ...(betas.length > 0 ? { 'anthropic-beta': betas.join(',') } : {}),
        ...(credential.apiKey === undefined ? {} : { 'x-api-key': credential.apiKey }),
      },
      body: JSON.stringify({ ...body, messages, model: backend.model, stream: request.stream }),
    });
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}
