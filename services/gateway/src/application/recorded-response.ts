import type { CallerResponse } from './ports/caller-response.js';
import type { StoredAnswer } from './ports/idempotency.js';

/**
 * Keeps what is answered, for a caller that asks again with the same idempotency key. One that leaves does not stop the call: it
 * will ask again, and gets the answer that was paid for.
 */
export class RecordedResponse implements CallerResponse {
  private readonly own: Record<string, string> = {};
  private headers: Record<string, string> = {};
  private readonly parts: Uint8Array[] = [];
  private size = 0;
  private whole: StoredAnswer | undefined;
  private gone = false;
  private drained: (() => void) | undefined;
  private held: (() => void) | undefined;

  /** @param maxBytes of an answer; a longer one is not kept. */
  constructor(
    private readonly response: CallerResponse,
    private readonly maxBytes: number,
  ) {
    response.onGone(() => {
      this.gone = true;
      this.drained?.();
    });
  }

  /** After the end. Undefined: it was too long to be kept. */
  answer(): StoredAnswer | undefined {
    if (this.whole && this.whole.body.length > this.maxBytes) return undefined;
    if (this.whole) return { ...this.whole, headers: { ...this.own, ...this.whole.headers } };
    if (this.size > this.maxBytes) return undefined;
    return { status: 200, headers: { ...this.own, ...this.headers }, body: Buffer.concat(this.parts) };
  }

  header(name: string, value: string): void {
    this.own[name] = value;
    this.response.header(name, value);
  }

  send(answer: StoredAnswer): void {
    this.whole = answer;
    this.held = () => this.response.send(answer);
  }

  begin(headers: Record<string, string>): void {
    this.headers = headers;
    this.response.begin(headers);
  }

  write(event: Uint8Array): boolean {
    this.keep(event);
    return this.gone || this.response.write(event);
  }

  end(event: Uint8Array): void {
    this.keep(event);
    this.held = () => this.response.end(event);
  }

  /** Sends the end, which is held until then. */
  release(): void {
    this.held?.();
    this.held = undefined;
  }

  onDrained(run: () => void): void {
    this.drained = run;
    this.response.onDrained(run);
  }

  onGone(_run: () => void): void {}

  private keep(event: Uint8Array): void {
    this.size += event.length;
    if (this.size > this.maxBytes) this.parts.length = 0;
    else this.parts.push(event);
  }
}
