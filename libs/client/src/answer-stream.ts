import type { Receipt } from '@meritorder/contracts';
import type { Msg, Subscription } from '@nats-io/transport-node';
import { errorOf, MeritorderError } from './meritorder-error.js';
import type { ChatChunk } from './wire.js';

export interface AnswerSource {
  requestId: string;
  subscription: Subscription;
  /** Tells the worker to stop; what was generated is paid for. */
  cancel(): void;
  /** Longest silence between two messages, milliseconds. */
  silenceMs: number;
  signal: AbortSignal | undefined;
}

/**
 * A streamed answer: iterate it once for its chunks, then `receipt` is there. A reader that is slow slows the stream down, since
 * chunks are acknowledged as they are taken; one that leaves the loop cancels the request.
 */
export class AnswerStream implements AsyncIterable<ChatChunk> {
  private settled: Receipt | undefined;
  private begun = false;

  constructor(private readonly source: AnswerSource) {}

  get requestId(): string {
    return this.source.requestId;
  }

  /** @throws Error before the stream has ended. */
  get receipt(): Receipt {
    if (!this.settled) throw new Error('the stream has no receipt yet: read it to its end');
    return this.settled;
  }

  /** The text of the first choice, read to the end. @throws MeritorderError as iterating does. */
  async text(): Promise<string> {
    let text = '';
    for await (const chunk of this) text += chunk.choices[0]?.delta.content ?? '';
    return text;
  }

  /** @throws MeritorderError on a refusal, a lost chunk, silence, or an answer that broke off; the signal's reason when aborted. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ChatChunk, void> {
    if (this.begun) throw new Error('an answer can be read once');
    this.begun = true;
    const { subscription } = this.source;
    const messages = subscription[Symbol.asyncIterator]();
    let expected = 0;
    let over = false;
    try {
      for (;;) {
        const message = await this.next(messages);
        const error = errorOf(message, this.requestId);
        over = error !== undefined || message.headers?.get('Meritorder-Status') !== '';
        if (error) throw error;
        const sequence = Number(message.headers?.get('Meritorder-Seq'));
        if (sequence !== expected)
          throw this.noticed('chunk_lost', `chunk ${expected} is missing: ${sequence} came in its place`);
        expected++;
        if (over) {
          this.settled = message.json<{ meritorder: Receipt }>().meritorder;
          if (message.headers?.get('Meritorder-Status') === 'cancelled')
            throw new MeritorderError('cancelled', 'The request was cancelled.', 499, this.requestId);
          return;
        }
        yield message.json<ChatChunk>();
        if (message.reply) message.respond();
      }
    } finally {
      subscription.unsubscribe();
      if (!over) this.source.cancel();
    }
  }

  private async next(messages: AsyncIterator<Msg>): Promise<Msg> {
    const { signal, silenceMs } = this.source;
    signal?.throwIfAborted();
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    const ends = new Promise<never>((_, reject) => {
      const silent = (): void => reject(this.noticed('no_answer', `nothing came for ${silenceMs} ms`));
      timer = setTimeout(silent, silenceMs);
      onAbort = () => reject(signal!.reason as Error);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
    try {
      const next = await Promise.race([messages.next(), ends]);
      if (next.done) throw this.noticed('closed', 'the connection was closed');
      return next.value;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort!);
    }
  }

  private noticed(code: 'no_answer' | 'chunk_lost' | 'closed', message: string): MeritorderError {
    return new MeritorderError(code, message, 0, this.requestId);
  }
}
