import type { ServerResponse } from 'node:http';
import type { CallerResponse } from '../../application/ports/caller-response.js';
import type { StoredAnswer } from '../../application/ports/idempotency.js';

/** Node's response as the caller's end of a call. */
export class HttpResponse implements CallerResponse {
  private over = false;
  private gone = false;
  private leaving: (() => void) | undefined;
  private events: Uint8Array[] = [];

  /** @param flushMs in which the caller must take the rest of an answer that has ended. */
  constructor(
    private readonly response: ServerResponse,
    private readonly flushMs: number,
  ) {
    response.on('error', () => {});
    response.once('close', () => {
      if (this.over) return;
      this.gone = true;
      this.leaving?.();
    });
  }

  header(name: string, value: string): void {
    if (!this.response.headersSent) this.response.setHeader(name, value);
  }

  send({ status, headers, body }: StoredAnswer): void {
    if (this.gone) return;
    this.over = true;
    this.response.writeHead(status, { ...headers, 'content-length': body.length });
    this.response.end(body);
    this.flush();
  }

  begin(headers: Record<string, string>): void {
    if (!this.gone) this.response.writeHead(200, headers);
  }

  /** Events that come at once, as after one read from NATS, go out as one write. */
  write(event: Uint8Array): boolean {
    if (this.gone) return true;
    if (this.events.push(event) === 1) queueMicrotask(() => this.writeEvents());
    return !this.response.writableNeedDrain;
  }

  end(event: Uint8Array): void {
    if (this.gone) return;
    this.events.push(event);
    this.writeEvents();
    this.over = true;
    this.response.end();
    this.flush();
  }

  onDrained(run: () => void): void {
    this.response.on('drain', run);
  }

  onGone(run: () => void): void {
    if (this.gone) run();
    else this.leaving = run;
  }

  private writeEvents(): void {
    const { events } = this;
    if (events.length === 0) return;
    this.events = [];
    if (!this.gone) this.response.write(events.length === 1 ? events[0]! : Buffer.concat(events));
  }

  /** What a caller does not take is not kept for ever. */
  private flush(): void {
    if (this.response.writableLength === 0) return;
    const timer = setTimeout(() => this.response.destroy(), this.flushMs);
    this.response.once('close', () => clearTimeout(timer));
  }
}
