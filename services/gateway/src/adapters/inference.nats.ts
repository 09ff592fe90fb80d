import { headers, type Msg } from '@nats-io/transport-node';
import {
  betasIn,
  ERRORS,
  HEADERS,
  MAX_ANSWER_BYTES,
  orgInboxPrefix,
  subjects,
  type ErrorCode,
  type Refusal,
} from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { GATEWAY_INBOX_TOKEN, type Bus } from '@meritorder/messaging';
import { AnswerRoom, type HeldAnswer } from '../application/answer-room.js';
import type { AnswerReader, Inference, InferenceCall, OpenCall } from '../application/ports/inference.js';
import { headerBlock, headerIn, serverStatus } from './header-block.js';

interface OrgInbox {
  /** Of every reply subject, with the dot. */
  prefix: string;
  close(): void;
}

/** The public surface of inference over NATS: one inbox for each org that asks, for all its calls. */
export class NatsInference implements Inference {
  private readonly instance = newId();
  private readonly inboxes = new Map<string, OrgInbox>();
  private readonly calls = new Map<string, NatsCall>();
  private readonly room = new AnswerRoom();
  private asked = 0;
  private connected = true;
  private endedWith: Refusal | undefined;

  /** @param totalMs after which a call without an end is given up. */
  constructor(
    private readonly bus: Bus,
    private readonly totalMs: number,
    private readonly warn: (message: string) => void,
  ) {
    void this.watchConnection();
  }

  isConnected(): boolean {
    return this.connected && !this.bus.nats.isClosed();
  }

  ask(call: InferenceCall, reader: AnswerReader): OpenCall {
    const place = (this.asked++).toString(36);
    const open: NatsCall = new NatsCall(this.bus, call, reader, this.totalMs, this.room, () => {
      this.calls.delete(place);
      this.room.leave(open);
    });
    if (!this.isConnected()) {
      open.fail({ code: 'router_unavailable', message: 'The gateway has lost NATS.', retryAfterSeconds: 1 });
      return open;
    }
    if (this.endedWith) {
      open.fail(this.endedWith);
      return open;
    }
    this.calls.set(place, open);
    open.publish(`${this.inbox(call.org).prefix}${place}`);
    return open;
  }

  end(refusal: Refusal): void {
    this.endedWith = refusal;
    for (const call of this.calls.values()) call.giveUp(refusal);
  }

  close(): void {
    for (const inbox of this.inboxes.values()) inbox.close();
  }

  private inbox(org: string): OrgInbox {
    let inbox = this.inboxes.get(org);
    if (!inbox) {
      const prefix = `${orgInboxPrefix(org)}.${GATEWAY_INBOX_TOKEN}.${this.instance}.`;
      const subscription = this.bus.nats.subscribe(`${prefix}*`, {
        callback: (error, message) => {
          if (error) {
            this.inboxes.delete(org);
            return this.warn(`the inbox of ${org}: ${error.message}`);
          }
          this.calls.get(message.subject.slice(prefix.length))?.take(message);
        },
      });
      inbox = { prefix, close: () => subscription.unsubscribe() };
      this.inboxes.set(org, inbox);
    }
    return inbox;
  }

  private async watchConnection(): Promise<void> {
    for await (const { type } of this.bus.nats.status()) {
      if (type === 'disconnect') this.connected = false;
      else if (type === 'reconnect') this.connected = true;
    }
  }
}

class NatsCall implements OpenCall, HeldAnswer {
  private expected = 0;
  private over = false;
  /** Of an answer that is larger than a message. */
  private readonly parts: Uint8Array[] = [];
  private partBytes = 0;
  /** An acknowledgement that waits until the caller has taken what it has. */
  private owed = false;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly bus: Bus,
    private readonly call: InferenceCall,
    private readonly reader: AnswerReader,
    totalMs: number,
    private readonly room: AnswerRoom,
    private readonly forget: () => void,
  ) {
    this.timer = setTimeout(
      () => this.giveUp({ code: 'deadline_exceeded', message: `No end within ${totalMs} ms.` }),
      totalMs,
    );
  }

  publish(reply: string): void {
    const { org, kind, counts, key, requestId, idempotencyKey, betas, traceparent, tracestate, body } = this.call;
    const h = headers();
    h.set(HEADERS.request, requestId);
    h.set(HEADERS.kind, kind);
    h.set(HEADERS.key, key);
    h.set(HEADERS.maxAnswerBytes, String(MAX_ANSWER_BYTES));
    const named = betas === undefined || kind !== 'messages' ? [] : betasIn(betas);
    if (named.length > 0) h.set(HEADERS.anthropicBeta, named.join(','));
    if (idempotencyKey !== undefined) h.set(HEADERS.idempotencyKey, idempotencyKey);
    if (traceparent) h.set(HEADERS.traceparent, traceparent);
    if (tracestate) h.set(HEADERS.tracestate, tracestate);
    const subject = counts ? subjects.inferenceEstimate(org) : subjects.inferenceRequest(org);
    this.bus.nats.publish(subject, body, { reply, headers: h });
  }

  take(message: Msg): void {
    if (this.over) return;
    try {
      const block = headerBlock(message);
      const status = headerIn(block, HEADERS.status);
      const sequence = headerIn(block, HEADERS.seq);
      const part = headerIn(block, HEADERS.part);
      if (part !== '') this.part(message, Number(part), status);
      else if (status === '' && sequence !== '') this.chunk(message, Number(sequence), block);
      else this.last(message, status, sequence, block);
    } catch (error) {
      this.giveUp({
        code: 'internal',
        message: `The answer cannot be read: ${(error as Error).message.slice(0, 200)}`,
      });
    }
  }

  drained(): void {
    if (!this.owed || this.over) return;
    this.owed = false;
    this.acknowledge();
  }

  cancel(): void {
    if (!this.close()) return;
    const { org, requestId } = this.call;
    if (!this.bus.nats.isClosed()) this.bus.nats.publish(subjects.inferenceCancel(org, requestId));
  }

  fail(refusal: Refusal): void {
    if (this.close()) this.reader.ended({ status: 'failed', refusal });
  }

  /** The reader is told, and whoever works on the call is stopped. */
  giveUp(refusal: Refusal): void {
    const { org, requestId } = this.call;
    if (!this.bus.nats.isClosed()) this.bus.nats.publish(subjects.inferenceCancel(org, requestId));
    this.fail(refusal);
  }

  private chunk(message: Msg, sequence: number, block: string): void {
    if (sequence !== this.expected) return this.cut(`Chunk ${this.expected} was lost: ${sequence} came in its place.`);
    this.expected++;
    const start =
      sequence > 0
        ? undefined
        : { backend: headerIn(block, HEADERS.backend), attemptNumber: headerIn(block, HEADERS.attemptNumber) };
    const taken = this.reader.chunk(message.data, start);
    if (!message.reply) return;
    if (taken) this.acknowledge();
    else this.owed = true;
  }

  private part({ data }: Msg, place: number, status: string): void {
    if (place !== this.expected) return this.cut(`Part ${this.expected} was lost: ${place} came in its place.`);
    this.expected++;
    this.parts.push(data);
    this.partBytes += data.length;
    if (this.partBytes > MAX_ANSWER_BYTES)
      return this.giveUp({ code: 'answer_unusable', message: `The answer has more than ${MAX_ANSWER_BYTES} bytes.` });
    if (status === '') return this.room.take(this, data.length);
    if (this.close()) this.reader.ended({ status: 'answered', streamed: false, body: Buffer.concat(this.parts) });
  }

  goOn(): void {
    this.acknowledge();
  }

  private last(message: Msg, status: string, sequence: string, block: string): void {
    const { data } = message;
    if (serverStatus(block) === 503 && data.length === 0)
      return this.fail({ code: 'router_unavailable', message: 'No router listens.', retryAfterSeconds: 1 });
    const body = Buffer.from(data.buffer, data.byteOffset, data.length);
    const refused = headerIn(block, HEADERS.serviceError);
    if (refused !== '') return this.fail(refusalOf(refused, body));
    if (status === 'cancelled') return this.fail({ code: 'cancelled', message: 'The request was cancelled.' });
    const streamed = sequence !== '';
    if (streamed && Number(sequence) !== this.expected)
      return this.cut(`Chunk ${this.expected} was lost: the end came in its place.`);
    if (this.close()) this.reader.ended({ status: 'answered', streamed, body });
  }

  private acknowledge(): void {
    const { org, requestId } = this.call;
    this.bus.nats.publish(subjects.inferenceAck(org, requestId), String(this.expected - 1));
  }

  private cut(message: string): void {
    this.giveUp({ code: 'stream_cut', message });
  }

  private close(): boolean {
    if (this.over) return false;
    this.over = true;
    clearTimeout(this.timer);
    this.forget();
    return true;
  }
}

/** What a NATS service error says, with a code that is in the catalogue. */
function refusalOf(code: string, body: Buffer): Refusal {
  const said = errorIn(body);
  return {
    code: code in ERRORS ? (code as ErrorCode) : 'internal',
    message: said.message ?? code,
    ...(said.param ? { param: said.param } : {}),
    ...(said.retry_after_seconds === undefined ? {} : { retryAfterSeconds: said.retry_after_seconds }),
    ...(said.details === undefined ? {} : { details: said.details }),
  };
}

interface SaidError {
  message?: string;
  param?: string | null;
  retry_after_seconds?: number;
  details?: Record<string, unknown>;
}

function errorIn(body: Buffer): SaidError {
  try {
    return (JSON.parse(body.toString('utf8')) as { error?: SaidError }).error ?? {};
  } catch {
    return {};
  }
}
