import type { ChatRequest } from '@meritorder/contracts';
import { callOfChat, ChunksOfParts, completionOfContent, type SdkProtocol } from '@meritorder/dialect-core';
import type { Dialect } from '@meritorder/usage-core';
import { UpstreamError, type ProviderRequest, type ProviderUpstream } from '../../application/ports.js';
import { HttpTransport, SENT_RETRYABLE } from '../transport.js';
import { sdkModel } from './sdk-models.js';
import { SingleCall } from './single-call.js';
import { thinkingWithin } from './thinking-within.js';

type Json = Readonly<Record<string, unknown>>;

interface Wire {
  dialect: Dialect;
  /** The event that ends a stream: one without it was cut, whatever it has said. */
  isLast(event: Json): boolean;
  /** It comes before anything is generated, or while nothing is. */
  isIdle(event: Json): boolean;
}

const WIRES: Readonly<Record<SdkProtocol, Wire>> = {
  gemini: {
    dialect: 'google-gemini',
    isLast: ({ candidates, promptFeedback }) =>
      (promptFeedback as Json | undefined)?.['blockReason'] !== undefined ||
      (Array.isArray(candidates) && candidates.some((c: Json | null) => typeof c?.['finishReason'] === 'string')),
    isIdle: () => false,
  },
  bedrock: {
    dialect: 'bedrock-converse',
    isLast: ({ metadata }) => metadata !== undefined,
    isIdle: ({ messageStart }) => messageStart !== undefined,
  },
  anthropic: {
    dialect: 'anthropic-messages',
    isLast: ({ type }) => type === 'message_stop',
    isIdle: ({ type }) => type === 'ping' || type === 'message_start',
  },
};

/**
 * Chat completions over a provider's own protocol, by its SDK: the SDK writes the request and reads the answer. The connection,
 * its timeouts and the credentials are ours, and what is booked is read from what the provider sent, not from the SDK's summary.
 */
export class SdkUpstream implements ProviderUpstream {
  readonly dialect: Dialect;
  readonly marks: boolean;
  private readonly transport = new HttpTransport();

  constructor(private readonly protocol: SdkProtocol) {
    this.dialect = WIRES[protocol].dialect;
    this.marks = protocol !== 'gemini';
  }

  async complete(request: ProviderRequest): Promise<Record<string, unknown>> {
    const { call, model, options } = this.prepare(request);
    try {
      const result = await model.doGenerate(options);
      request.reader.end();
      return completionOfContent(result, namesOf(request), nowSeconds(), request.reader.read().usage);
    } catch (error) {
      throw call.failed(error);
    }
  }

  async *stream(request: ProviderRequest): AsyncIterable<string> {
    const { reader, includeUsage } = request;
    const { call, model, options } = this.prepare(request);
    const wire = WIRES[this.protocol];
    let chunks: ChunksOfParts | undefined;
    let isWhole = false;
    try {
      const { stream } = await model.doStream({ ...options, includeRawChunks: true });
      for await (const part of stream) {
        if (part.type === 'raw') {
          const event = (part.rawValue ?? {}) as Json;
          reader.feed(event);
          isWhole ||= wire.isLast(event);
          call.heard(!wire.isIdle(event));
          continue;
        }
        if (part.type === 'error') throw part.error;
        if (part.type === 'stream-start' || (part.type === 'finish' && !isWhole)) continue;
        // Their names are known from the first event on.
        chunks ??= new ChunksOfParts(namesOf(request), nowSeconds());
        const chunk = chunks.feed(part);
        if (chunk) yield JSON.stringify(chunk);
      }
    } catch (error) {
      throw call.failed(error);
    } finally {
      // The SDK reads ahead, so that its stream would end with the next bytes alone.
      call.leave();
    }
    if (!isWhole || chunks?.finishReason === undefined)
      throw new UpstreamError('cut', chunks?.brokenOff ?? 'the stream ended before its last event', SENT_RETRYABLE);
    reader.end();
    if (includeUsage) yield JSON.stringify(chunks.usage(reader.read().usage));
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  private prepare(request: ProviderRequest) {
    const { backend, body, credential } = request;
    const { options, uncarried } = callOfChat(this.protocol, body as ChatRequest);
    if (uncarried.length > 0)
      throw cannotBeTold(`${this.protocol} cannot say ${uncarried[0]!.what} (${uncarried[0]!.path})`);
    const within = thinkingWithin(this.protocol, backend.model, options);
    if (within === undefined)
      throw cannotBeTold(`${backend.model} cannot be told "reasoning_effort" within ${options.maxOutputTokens} tokens`);
    const call = new SingleCall(this.transport, this.protocol, request, {
      ...options,
      // Of a model that wants a budget the effort is in that.
      reasoning: within === options ? options.reasoning : undefined,
    });
    return { call, options: within, model: sdkModel(this.protocol, backend.model, credential, call.fetch) };
  }
}

function cannotBeTold(message: string): UpstreamError {
  return new UpstreamError('caller-fault', message, { retryable: true, sent: false, refusedUpstream: false });
}

function namesOf({ reader, attemptId, backend }: ProviderRequest): { id: string; model: string } {
  const { providerCallId, servedModel } = reader.read();
  return { id: providerCallId ?? attemptId, model: servedModel ?? backend.model };
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
