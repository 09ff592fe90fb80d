import { headers, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import {
  ERRORS,
  errorBody,
  HEADERS,
  RouterReply,
  subjects,
  TurnReply,
  type ErrorCode,
  type LimitsConfig,
  type TurnRequest,
  type UsageAttemptClosedV1,
  type WorkEvent,
  type WorkRequest,
} from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { publishUntilKept, type Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import { ReaderAway, type CallerLink, type RouterLink, type UsageLog } from '../application/ports.js';
import { outboxOf, type CallerOutbox } from './caller-outbox.js';
import { ChunkHeaders } from './chunk-headers.js';

/** Every so many chunks the reader is asked for an acknowledgement. */
const ACK_EVERY_CHUNKS = 16;

/** The durable record of what attempts came to, in JetStream. */
export class NatsUsageLog implements UsageLog {
  constructor(
    private readonly bus: Bus,
    private readonly context: Context,
    private readonly onError: (error: Error) => void,
    /** Of the backend. */
    private readonly host?: string,
  ) {}

  /** Nobody else can know it: the stream would take a record under its id for this one, and drop this one as repeated. */
  private readonly nonce = newId();

  closed(event: UsageAttemptClosedV1): Promise<void> {
    return publishUntilKept(
      this.bus,
      {
        type: 'usage.attempt-closed.v1',
        subject: subjects.usageAttemptClosed(event.attribution.org, this.host),
        id: `${event.attemptId}/closed/${this.nonce}`,
        time: event.closedAt,
        data: event,
        context: this.context,
      },
      this.onError,
    );
  }
}

/** A router that is quicker than this is not asked. */
const READY_AFTER_MS = 50;
/** Longer than a router waits for the stream of attempts. */
const READY_TIMEOUT_MS = 5_000;

export class NatsRouterLink implements RouterLink {
  private told: RouterReply | undefined;
  private hear: ((reply: RouterReply) => void) | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly work: Msg,
    /** False: what waits for others is not told by itself. */
    private readonly isTold = true,
  ) {}

  /** The router says so by itself. */
  goes(): void {
    this.told = { type: 'go' };
    this.hear?.(this.told);
  }

  mayGo(attemptId: string): Promise<RouterReply | undefined> {
    if (this.told) return Promise.resolve(this.told);
    return new Promise((resolve) => {
      const ask = (): void => void this.request({ type: 'ready', attemptId }, READY_TIMEOUT_MS).then(resolve);
      const timer = setTimeout(ask, this.isTold ? READY_AFTER_MS : 0);
      this.hear = (reply) => {
        clearTimeout(timer);
        resolve(reply);
      };
    });
  }

  send(event: WorkEvent): void {
    // Of an attempt that outlives its process' connection: its router hears by its silence.
    if (this.bus.nats.isClosed() || this.bus.nats.isDraining()) return;
    this.bus.nats.publish(this.work.reply!, JSON.stringify(event));
  }

  async request(event: WorkEvent, timeoutMs: number): Promise<RouterReply | undefined> {
    try {
      const reply = await this.bus.nats.request(this.work.reply!, JSON.stringify(event), { timeout: timeoutMs });
      const parsed = RouterReply.safeParse(reply.json());
      return parsed.success ? parsed.data : undefined;
    } catch {
      return undefined;
    }
  }
}

/** The worker of the first attempt answers in milliseconds, if it lives. */
const TURN_TIMEOUT_MS = 1_000;
/** A router knows of a lost worker within its silence. */
const ROUTER_TURN_TIMEOUT_MS = 6_000;

/** How a hedge asks for the turn: the worker of the first attempt, and the router if that one is lost. */
export function askForTurn(bus: Bus, router: NatsRouterLink, attemptId: string, hedgeOf: string) {
  return {
    async first(request: TurnRequest): Promise<TurnReply | undefined> {
      try {
        // Not to its inbox: a worker of another host may not write there.
        const options = { timeout: TURN_TIMEOUT_MS, noMux: true, reply: subjects.attemptTurned(newId()) };
        const reply = await bus.nats.request(subjects.attemptTurn(hedgeOf), JSON.stringify(request), options);
        const parsed = TurnReply.safeParse(reply.json());
        return parsed.success ? parsed.data : undefined;
      } catch {
        return undefined;
      }
    },
    router: (): Promise<RouterReply | undefined> => router.request({ type: 'turn', attemptId }, ROUTER_TURN_TIMEOUT_MS),
  };
}

/** So much of an answer in parts goes in one message; every server carries it, with its headers. */
const PART_BYTES = 1_000_000;
/** Of a message: its headers. */
const HEADER_BYTES_MOST = 4_096;
/** Parts that the reader has not acknowledged. */
const PARTS_WINDOW = 4;

/** The caller's inbox, with a bounded window of chunks that the reader has not acknowledged. */
export class NatsCallerLink implements CallerLink {
  private readonly outbox: CallerOutbox;
  private readonly laterHeaders: ChunkHeaders;
  private acknowledged = -1;
  private published = -1;
  private waiting:
    { window: number; resolve: () => void; reject: (error: Error) => void; timer: NodeJS.Timeout } | undefined;

  constructor(
    bus: Bus,
    private readonly work: WorkRequest,
    private readonly limits: Pick<LimitsConfig, 'streamWindowChunks' | 'streamAckTimeoutMs'> & {
      /** What the server carries. */
      maxMessageBytes: number;
    },
  ) {
    this.outbox = outboxOf(bus.nats);
    this.laterHeaders = new ChunkHeaders(work.terms);
  }

  /** An acknowledgement: of everything published so far, since the reader gets messages in order. */
  acknowledge(upToSeq: number | undefined): void {
    this.acknowledged = Math.max(this.acknowledged, Math.min(upToSeq ?? this.published, this.published));
    if (this.waiting && !this.isBehind(this.waiting.window)) {
      clearTimeout(this.waiting.timer);
      this.waiting.resolve();
      this.waiting = undefined;
    }
  }

  abandon(): void {
    if (!this.waiting) return;
    clearTimeout(this.waiting.timer);
    this.waiting.reject(new Error('aborted'));
    this.waiting = undefined;
  }

  chunk(seq: number, json: string): Promise<void> | undefined {
    const h = seq === 0 ? this.firstHeaders() : this.laterHeaders.of(seq);
    const { org } = this.work.terms.attribution;
    const asks = seq % ACK_EVERY_CHUNKS === ACK_EVERY_CHUNKS - 1;
    const options = { headers: h, ...(asks ? { reply: subjects.inferenceAck(org, this.work.terms.requestId) } : {}) };
    this.outbox.publish(this.work.replyTo, json, options, seq > 0);
    this.published = seq;
    return this.acknowledgedWithin(this.limits.streamWindowChunks);
  }

  /** @returns a promise while the reader is further behind; it rejects with ReaderAway when the reader stays away. */
  private acknowledgedWithin(window: number): Promise<void> | undefined {
    if (!this.isBehind(window)) return undefined;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting = undefined;
        reject(new ReaderAway(`the reader acknowledged nothing for ${this.limits.streamAckTimeoutMs} ms`));
      }, this.limits.streamAckTimeoutMs);
      this.waiting = { window, resolve, reject, timer };
    });
  }

  finish(status: 'ok' | 'cancelled', body: string, stream: boolean): Promise<void> | undefined {
    const fits = Buffer.byteLength(body) <= this.limits.maxMessageBytes - HEADER_BYTES_MOST;
    if (!stream && !fits) return this.inParts(Buffer.from(body));
    const h = this.headers();
    if (stream) h.set(HEADERS.seq, String(this.published + 1));
    h.set(HEADERS.status, status);
    this.outbox.publish(this.work.replyTo, body, { headers: h });
    return undefined;
  }

  private async inParts(body: Buffer): Promise<void> {
    const bytes = Math.min(PART_BYTES, this.limits.maxMessageBytes - HEADER_BYTES_MOST);
    const last = Math.ceil(body.length / bytes) - 1;
    for (let part = 0; part <= last; part++) {
      const h = this.headers();
      h.set(HEADERS.part, String(part));
      if (part === last) h.set(HEADERS.status, 'ok');
      const { org } = this.work.terms.attribution;
      const reply = subjects.inferenceAck(org, this.work.terms.requestId);
      const data = body.subarray(part * bytes, (part + 1) * bytes);
      this.outbox.publish(this.work.replyTo, data, { headers: h, ...(part === last ? {} : { reply }) });
      this.published = part;
      if (part < last) await this.acknowledgedWithin(PARTS_WINDOW);
    }
  }

  fail(code: ErrorCode, message: string): void {
    const h = this.headers();
    h.set(HEADERS.seq, String(this.published + 1));
    h.set(HEADERS.status, code === 'cancelled' ? 'cancelled' : 'error');
    h.set(HEADERS.serviceError, code);
    h.set(HEADERS.serviceErrorCode, String(ERRORS[code].status));
    this.outbox.publish(this.work.replyTo, JSON.stringify(errorBody({ code, message }, this.work.terms.requestId)), {
      headers: h,
    });
  }

  private firstHeaders(): MsgHdrs {
    const h = this.headers();
    h.set(HEADERS.backend, this.work.terms.backend);
    h.set(HEADERS.attemptNumber, String(this.work.terms.attemptNumber));
    h.set(HEADERS.seq, '0');
    return h;
  }

  private isBehind(window: number): boolean {
    return this.published - this.acknowledged >= window;
  }

  private headers(): MsgHdrs {
    const h = headers();
    h.set(HEADERS.request, this.work.terms.requestId);
    h.set(HEADERS.attempt, this.work.terms.attemptId);
    return h;
  }
}
