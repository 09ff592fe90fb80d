import type { Receipt } from '@meritorder/contracts';
import type { Msg, Subscription } from '@nats-io/transport-node';
import { leaving } from './leaving.js';
import { errorOf, MeritorderError } from './meritorder-error.js';
import type { ChatChunk } from './wire.js';

export interface AnswerSource {
  requestId: string;
  subscription: Subscription;
  /** Tells the worker to stop; what was generated is paid for. Never throws. */
  cancel(): void;
  /** It is over, however it ended. */
  over(): void;
  /** Longest silence between two messages, milliseconds. */
  silenceMs: number;
  signal: AbortSignal | undefined;
}

/**
 * A streamed answer: iterate it once for its chunks, then `receipt` is there. A reader that is slow slows the stream down, since
 * chunks are acknowledged as they are taken; one that leaves the loop cancels the request, and so does its signal, whatever the
 * reader is doing meanwhile.
 */
export class AnswerStream implements AsyncIterable<ChatChunk> {
  private settled: Receipt | undefined;
  private begun = false;
  private isOver = false;
  private readonly left = leaving();
  private readonly onAbort = (): void => this.leave(this.source.signal!.reason);

  constructor(private readonly source: AnswerSource) {
    source.signal?.addEventListener('abort', this.onAbort, { once: true });
  }

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
    let isLast = false;
    try {
      for (;;) {
        const message = await this.next(messages);
        const error = errorOf(message, this.requestId);
        isLast = error !== undefined || Boolean(message.headers?.get('Meritorder-Status'));
        if (error) throw error;
        const sequence = Number(message.headers?.get('Meritorder-Seq'));
        if (sequence !== expected)
          throw this.noticed('chunk_lost', `chunk ${expected} is missing: ${sequence} came in its place`);
        expected++;
        if (isLast) {
          this.settled = message.json<{ meritorder: Receipt }>().meritorder;
          if (message.headers?.get('Meritorder-Status') === 'cancelled')
            throw new MeritorderError('cancelled', 'The request was cancelled.', 499, this.requestId);
          return;
        }
        yield message.json<ChatChunk>();
        acknowledge(message);
      }
    } finally {
      this.end(!isLast);
    }
  }

  /** Ends it from outside: the request is cancelled, and whoever reads is told the reason. Once it is over it changes nothing. */
  leave(reason: unknown): void {
    this.left.reject(reason);
    this.end(true);
  }

  private end(isToBeCancelled: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    const { signal, subscription } = this.source;
    signal?.removeEventListener('abort', this.onAbort);
    subscription.unsubscribe();
    if (isToBeCancelled) this.source.cancel();
    this.source.over();
  }

  private async next(messages: AsyncIterator<Msg>): Promise<Msg> {
    const { silenceMs } = this.source;
    let timer: NodeJS.Timeout | undefined;
    const silent = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.noticed('no_answer', `nothing came for ${silenceMs} ms`)), silenceMs);
    });
    try {
      // Why it was left counts before the end of its messages, which follows from that.
      const next = await Promise.race([this.left.promise, messages.next(), silent]);
      if (next.done) throw this.noticed('closed', 'the connection was closed');
      return next.value;
    } finally {
      clearTimeout(timer);
    }
  }

  private noticed(code: 'no_answer' | 'chunk_lost' | 'closed', message: string): MeritorderError {
    return new MeritorderError(code, message, 0, this.requestId);
  }
}

/** On a connection that ended meanwhile nothing can be sent: the next read says why it ended. */
function acknowledge(message: Msg): void {
  try {
    message.respond();
  } catch {
    // The next read says it.
  }
}
