import type { Readable } from 'node:stream';

/** The body is paused while so much of it waits to be read. */
const MOST_WAITING_BYTES = 64 * 1024;

/**
 * The bytes of a body, read by read. A stream's own iterator passes each through half a dozen promises; these come straight from
 * the socket's callback.
 */
export class BodyReads {
  private readonly waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private end: { error?: Error } | undefined;
  private reader: PromiseWithResolvers<Uint8Array | undefined> | undefined;

  constructor(private readonly body: Readable) {
    body.on('data', (bytes: Uint8Array) => this.came(bytes));
    body.once('end', () => this.ended({}));
    body.on('error', (error) => this.ended({ error }));
    body.once('close', () => this.ended({ error: new Error('the body broke off') }));
  }

  /** Undefined: that was all. What came before a failure is read before it is told. @throws Error why it broke off */
  next(): Promise<Uint8Array | undefined> {
    const bytes = this.waiting.shift();
    if (bytes) {
      this.waitingBytes -= bytes.length;
      if (this.waiting.length === 0 && this.body.isPaused()) this.body.resume();
      return Promise.resolve(bytes);
    }
    if (this.end?.error) return Promise.reject(this.end.error);
    if (this.end) return Promise.resolve(undefined);
    return (this.reader = Promise.withResolvers()).promise;
  }

  private came(bytes: Uint8Array): void {
    const { reader } = this;
    this.reader = undefined;
    if (reader) return reader.resolve(bytes);
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes >= MOST_WAITING_BYTES) this.body.pause();
  }

  private ended(end: { error?: Error }): void {
    if (this.end) return;
    this.end = end;
    if (end.error) this.reader?.reject(end.error);
    else this.reader?.resolve(undefined);
    this.reader = undefined;
  }
}
