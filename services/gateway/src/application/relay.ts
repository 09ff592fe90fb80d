import { ERRORS, type Receipt, type Refusal } from '@meritorder/contracts';
import { retryHeaders, type Dialect } from './dialect.js';
import type { CallerResponse } from './ports/caller-response.js';
import type { StoredAnswer } from './ports/idempotency.js';
import type { AnswerReader, Ending, StreamStart } from './ports/inference.js';
import { receiptHeaders, receiptOf } from './receipt-of.js';
import type { CallEnd } from './take-rate.js';

/** Hands one answer on to its caller, in the caller's dialect. */
export class Relay implements AnswerReader {
  private streaming = false;

  constructor(
    private readonly dialect: Dialect,
    private readonly response: CallerResponse,
    private readonly requestId: string,
    private readonly onEnd: (end: CallEnd) => void,
    /** Whoever has the end of an answer finds it kept. */
    private readonly keep?: ((response: Record<string, unknown>) => Promise<Record<string, unknown>>) | undefined,
  ) {}

  chunk(json: Uint8Array, start: StreamStart | undefined): boolean {
    if (!this.streaming) this.begin(start);
    const event = this.dialect.event(json);
    return event === undefined || this.response.write(event);
  }

  ended(ending: Ending): void {
    if (ending.status === 'failed') return this.failed(ending.refusal);
    const told = ending.streamed ? this.streamed(ending.body) : this.whole(ending.body);
    told.catch((error: Error) =>
      this.failed({ code: 'internal', message: `The answer cannot be read: ${error.message.slice(0, 200)}` }),
    );
  }

  private begin(start: StreamStart | undefined): void {
    this.streaming = true;
    this.response.begin({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // Reverse proxies would collect a stream otherwise.
      'x-accel-buffering': 'no',
      ...(start?.backend ? { 'x-meritorder-backend': start.backend } : {}),
      ...(start?.attemptNumber ? { 'x-meritorder-attempts': start.attemptNumber } : {}),
    });
  }

  private async whole(body: Buffer): Promise<void> {
    const receipt = receiptOf(body);
    const headers = { 'content-type': 'application/json', ...receiptHeaders(receipt) };
    const told = this.keep
      ? Buffer.from(JSON.stringify(await this.keep(JSON.parse(body.toString('utf8')) as Record<string, unknown>)))
      : body;
    this.response.send({ status: 200, headers, body: told });
    this.onEnd({ outcome: 'answered', receipt });
  }

  private async streamed(body: Buffer): Promise<void> {
    const last = JSON.parse(body.toString('utf8')) as { meritorder?: Receipt; response?: Record<string, unknown> };
    if (!this.streaming) this.begin(undefined);
    if (this.keep && last.response) last.response = await this.keep(last.response);
    this.response.end(this.dialect.finish(last));
    this.onEnd({ outcome: 'answered', receipt: last.meritorder });
  }

  private failed(refusal: Refusal): void {
    if (this.streaming) {
      const { status } = ERRORS[refusal.code];
      this.response.end(this.dialect.broken(this.dialect.error(refusal, status, this.requestId)));
    } else {
      this.response.send(refusalAnswer(this.dialect, this.requestId, refusal));
    }
    this.onEnd({ outcome: refusal.code });
  }
}

/** An error as an answer, in the caller's dialect. */
export function refusalAnswer(dialect: Dialect, requestId: string, refusal: Refusal): StoredAnswer {
  const { status } = ERRORS[refusal.code];
  return {
    status,
    headers: { 'content-type': 'application/json', ...retryHeaders(refusal) },
    body: Buffer.from(JSON.stringify(dialect.error(refusal, status, requestId))),
  };
}
