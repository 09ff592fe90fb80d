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
  ) {}

  chunk(json: Uint8Array, start: StreamStart | undefined): boolean {
    if (!this.streaming) this.begin(start);
    const event = this.dialect.event(json);
    return event === undefined || this.response.write(event);
  }

  ended(ending: Ending): void {
    if (ending.status === 'failed') this.failed(ending.refusal);
    else if (ending.streamed) this.streamed(ending.body);
    else this.whole(ending.body);
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

  private whole(body: Buffer): void {
    const receipt = receiptOf(body);
    const headers = { 'content-type': 'application/json', ...receiptHeaders(receipt) };
    this.response.send({ status: 200, headers, body });
    this.onEnd({ outcome: 'answered', receipt });
  }

  private streamed(body: Buffer): void {
    const last = JSON.parse(body.toString('utf8')) as { meritorder?: Receipt };
    if (!this.streaming) this.begin(undefined);
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
