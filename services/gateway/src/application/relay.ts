import { ERRORS, type Receipt, type Refusal } from '@meritorder/contracts';
import { retryHeaders, type Dialect } from './dialect.js';
import type { CallerResponse } from './ports/caller-response.js';
import type { AnswerReader, Ending, StreamStart } from './ports/inference.js';
import { receiptHeaders, receiptOf } from './receipt-of.js';

/** Hands one answer on to its caller, in the caller's dialect. */
export class Relay implements AnswerReader {
  private streaming = false;

  constructor(
    private readonly dialect: Dialect,
    private readonly response: CallerResponse,
    private readonly requestId: string,
    /** Told how it ended: the refusal's code, or `answered`. */
    private readonly onEnd: (code: 'answered' | Refusal['code']) => void,
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
    const headers = { 'content-type': 'application/json', ...receiptHeaders(receiptOf(body)) };
    this.response.send({ status: 200, headers, body });
    this.onEnd('answered');
  }

  private streamed(body: Buffer): void {
    const last = JSON.parse(body.toString('utf8')) as { meritorder?: Receipt };
    if (!this.streaming) this.begin(undefined);
    this.response.write(this.dialect.finish(last));
    this.response.end();
    this.onEnd('answered');
  }

  private failed(refusal: Refusal): void {
    if (this.streaming) {
      const { status } = ERRORS[refusal.code];
      this.response.write(this.dialect.broken(this.dialect.error(refusal, status, this.requestId)));
      this.response.end();
    } else {
      refuse(this.response, this.dialect, this.requestId, refusal);
    }
    this.onEnd(refusal.code);
  }
}

/** Answers with an error, in the caller's dialect. */
export function refuse(response: CallerResponse, dialect: Dialect, requestId: string, refusal: Refusal): void {
  const { status } = ERRORS[refusal.code];
  response.send({
    status,
    headers: { 'content-type': 'application/json', ...retryHeaders(refusal) },
    body: Buffer.from(JSON.stringify(dialect.error(refusal, status, requestId))),
  });
}
