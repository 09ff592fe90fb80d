import { DELIVERY_REFUSED, ERRORS, orgInboxPrefix, subjects, type ErrorCode, type Kind } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import {
  connect,
  createInbox,
  errors,
  headers,
  nkeyAuthenticator,
  type ConnectionOptions,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from '@nats-io/transport-node';
import { AnswerStream } from './answer-stream.js';
import { eventOf, type OrgEvent } from './delivered-event.js';
import { leaving } from './leaving.js';
import { errorOf, MeritorderError } from './meritorder-error.js';
import type { ChatAnswer, ChatBody, JobAccepted, Outcome, OutcomeState } from './wire.js';

export interface ConnectOptions extends Omit<ConnectionOptions, 'inboxPrefix'> {
  org: string;
  /** An API key, sent as `Meritorder-Key`: it binds department, customer and tier. */
  key?: string;
  /**
   * Seed of the org's NKey (`SU...`), in place of `user` and `pass`. A function is asked at every connect, so that a seed that
   * was replaced is used without a restart.
   */
  nkeySeed?: string | (() => string);
}

export interface AskOptions {
  /** Aborting cancels the request; what was generated is paid for. */
  signal?: AbortSignal;
  /** Longest wait for the answer, or between two chunks of a stream, milliseconds. Default: 630,000, a little more than a request may take by default. */
  timeoutMs?: number;
  /** A slug of your own; default: a new one. */
  requestId?: string;
  /** W3C trace context of the caller. */
  traceparent?: string;
}

/** Returning acknowledges the event; throwing has it delivered again. */
export type EventHandler = (event: OrgEvent) => void | Promise<void>;

export interface SubscribeOptions {
  /** Processes that share a queue name share the events. */
  queue?: string;
  /**
   * Told of a handler that threw, and without an event of a subscription that ended because NATS refused it or the connection
   * broke. Default: nobody; the event comes again. What it throws itself is dropped.
   */
  onError?: (error: Error, event: OrgEvent | undefined) => void;
}

function byNKey(seed: ConnectOptions['nkeySeed']): ConnectionOptions {
  if (seed === undefined) return {};
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text.trim());
  if (typeof seed === 'string') return { authenticator: nkeyAuthenticator(bytes(seed)) };
  // The client gives up after two refusals, unless it is told that the next seed may be another.
  return { authenticator: nkeyAuthenticator(() => bytes(seed())), ignoreAuthErrorAbort: true };
}

/** With TLS 1.3 a client whose certificate is not taken hears of it after its side of the handshake, and the NATS client is silent. */
function explain(cause: Error): never {
  if (!(cause instanceof errors.TimeoutError)) throw cause;
  throw new Error('NATS does not answer, or takes no certificate of this client (`tls: { certFile, keyFile }`)', {
    cause,
  });
}

/** Longer than a request may take unless configured otherwise (`limits.requestDeadlineMs`). */
const DEFAULT_TIMEOUT_MS = 630_000;
const REPORT_TIMEOUT_MS = 10_000;

/** A connection to Meritorder for one org. */
export class Meritorder {
  /** What is being answered: how to end each. */
  private readonly open = new Set<(reason: MeritorderError) => void>();

  private constructor(
    private readonly nats: NatsConnection,
    private readonly org: string,
    private readonly key: string | undefined,
    private readonly owned: boolean,
  ) {}

  /**
   * Connects with the options of NATS; `user` and `pass`, or `nkeySeed`, are those of the org.
   * @throws Error of the NATS client; one that says more where a certificate may be why there was no answer.
   */
  static async connect({ org, key, nkeySeed, ...options }: ConnectOptions): Promise<Meritorder> {
    const nats = await connect({ ...options, ...byNKey(nkeySeed), inboxPrefix: orgInboxPrefix(org) }).catch(explain);
    return new Meritorder(nats, org, key, true);
  }

  /** Uses a connection that exists; `close` leaves it open. Its inbox prefix must be `_INBOX_<org>`. */
  static over(nats: NatsConnection, org: string, key?: string): Meritorder {
    return new Meritorder(nats, org, key, false);
  }

  /** One answer. @throws MeritorderError; the signal's reason when aborted. */
  async ask(body: ChatBody, options: AskOptions = {}): Promise<ChatAnswer> {
    return (await this.send('chat', { ...body, stream: false }, options)) as unknown as ChatAnswer;
  }

  /** A streamed answer; the request is sent at once, so read it. @throws MeritorderError when it cannot be sent. */
  stream(body: ChatBody, options: AskOptions = {}): AnswerStream {
    options.signal?.throwIfAborted();
    const requestId = options.requestId ?? newId();
    const inbox = createInbox(orgInboxPrefix(this.org));
    const subscription = this.nats.subscribe(inbox);
    try {
      this.nats.publish(subjects.inferenceRequest(this.org), JSON.stringify({ ...body, stream: true }), {
        reply: inbox,
        headers: this.headers(requestId, 'chat', options),
      });
    } catch (error) {
      subscription.unsubscribe();
      throw notSent(error as Error, requestId);
    }
    const leave = (reason: MeritorderError): void => stream.leave(reason);
    const stream = new AnswerStream({
      requestId,
      subscription,
      cancel: () => this.cancel(requestId),
      over: () => void this.open.delete(leave),
      silenceMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      signal: options.signal,
    });
    this.open.add(leave);
    return stream;
  }

  /** A request of any kind, in the words of the kind, answered whole. @throws MeritorderError. */
  async send(kind: Kind, body: object, options: AskOptions = {}): Promise<Record<string, unknown>> {
    const requestId = options.requestId ?? newId();
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    signal?.throwIfAborted();
    const asked = this.request(subjects.inferenceRequest(this.org), body, timeoutMs, {
      requestId,
      headers: this.headers(requestId, kind, options),
    });
    const left = leaving();
    const leave = (reason: unknown): void => {
      this.cancel(requestId);
      left.reject(reason);
    };
    const onAbort = (): void => leave(signal!.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.open.add(leave);
    try {
      return (await Promise.race([asked, left.promise])).json();
    } catch (error) {
      if (error instanceof MeritorderError && error.code === 'no_answer') this.cancel(requestId);
      throw error;
    } finally {
      this.open.delete(leave);
      signal?.removeEventListener('abort', onAbort);
      asked.catch(() => undefined);
    }
  }

  /** Does nothing once the connection is closing. */
  cancel(requestId: string): void {
    if (!this.nats.isClosed() && !this.nats.isDraining())
      this.nats.publish(subjects.inferenceCancel(this.org, requestId));
  }

  /**
   * A durable job: its result is an `inference.result.v1` event of the subscriber `results`.
   * @param jobId the same id is the same job, however often it is sent, as long as its result is kept (seven days): it is a
   * `duplicate`, and a result that is there is published again under its event id. Another body under it is refused.
   */
  async job(body: ChatBody, jobId?: string): Promise<JobAccepted> {
    const requestId = newId();
    const h = this.headers(requestId, 'chat', {});
    if (jobId !== undefined) {
      h.set('Nats-Msg-Id', jobId);
      h.delete('Meritorder-Request');
    }
    const reply = await this.request(subjects.inferenceJob(this.org), body, REPORT_TIMEOUT_MS, {
      requestId,
      headers: h,
    });
    const accepted = reply.json<{ request_id: string; duplicate?: boolean }>();
    return { requestId: accepted.request_id, duplicate: accepted.duplicate ?? false };
  }

  /** What a request turned out to be worth. @throws MeritorderError. */
  async report(outcome: Outcome): Promise<OutcomeState> {
    const reply = await this.request(subjects.outcomeReported(this.org), outcome, REPORT_TIMEOUT_MS, {
      requestId: outcome.request_id,
    });
    const said = reply.json<OutcomeState & { error?: { code: string; message: string } }>();
    if (said.error) throw refusedReport(said.error, outcome.request_id);
    return said;
  }

  /**
   * Events of one subscriber of the org (`alerts`: budgets; `results`: jobs; others by configuration), those published while
   * nobody listened too. Each comes until the handler returned, one after the other.
   * @returns a function that ends the subscription once the event at hand is done.
   */
  subscribe(subscriber: string, handler: EventHandler, options: SubscribeOptions = {}): () => Promise<void> {
    const { queue, onError } = options;
    const subscription = this.nats.subscribe(subjects.delivery(this.org, subscriber), queue ? { queue } : {});
    // Whoever is told of errors must not make more of them, at once or later.
    const tell = (error: unknown, event?: OrgEvent): void =>
      void (async () => onError?.(error as Error, event))().catch(() => {});
    const running = (async () => {
      for await (const message of subscription) {
        let event: OrgEvent | undefined;
        let refusal: typeof DELIVERY_REFUSED | undefined;
        try {
          event = eventOf(message);
          await handler(event);
        } catch (error) {
          tell(error, event);
          refusal = DELIVERY_REFUSED;
        }
        // An answer that cannot be sent is none of the handler's: the subscription has ended.
        message.respond(refusal);
      }
    })().catch((error: unknown) => tell(error));
    return async () => {
      subscription.unsubscribe();
      await running;
      if (!this.nats.isClosed() && !this.nats.isDraining()) await this.nats.flush();
    };
  }

  /** Cancels what is still being answered, whose readers get `closed`, and sends what is to be sent; a connection of its own is closed. */
  async close(): Promise<void> {
    for (const leave of this.open) leave(new MeritorderError('closed', 'The client was closed.', 0, undefined));
    if (this.owned) await this.nats.drain();
    else await this.nats.flush();
  }

  private async request(
    subject: string,
    body: object,
    timeoutMs: number,
    { requestId, headers: h }: { requestId: string; headers?: MsgHdrs },
  ): Promise<Msg> {
    let message: Msg;
    try {
      message = await this.nats.request(subject, JSON.stringify(body), {
        timeout: timeoutMs,
        ...(h ? { headers: h } : {}),
      });
    } catch (error) {
      throw noReply(error as Error, timeoutMs, requestId);
    }
    const refused = errorOf(message, requestId);
    if (refused) throw refused;
    return message;
  }

  private headers(requestId: string, kind: Kind, { traceparent }: AskOptions): MsgHdrs {
    const h = headers();
    h.set('Meritorder-Request', requestId);
    h.set('Meritorder-Kind', kind);
    if (this.key !== undefined) h.set('Meritorder-Key', this.key);
    if (traceparent !== undefined) h.set('traceparent', traceparent);
    return h;
  }
}

function refusedReport({ code, message }: { code: string; message: string }, requestId: string): MeritorderError {
  const { status = 500 } = ERRORS[code as ErrorCode] ?? {};
  return new MeritorderError(code as ErrorCode, message, status, requestId);
}

function noReply(error: Error, timeoutMs: number, requestId: string): MeritorderError {
  const { name, cause } = error;
  if (name === 'NoRespondersError' || (cause as Error | undefined)?.name === 'NoRespondersError')
    return new MeritorderError('no_router', 'No router listens: is Meritorder running?', 503, requestId);
  if (name === 'TimeoutError')
    return new MeritorderError('no_answer', `nothing came for ${timeoutMs} ms`, 0, requestId);
  return notSent(error, requestId);
}

function notSent(error: Error, requestId: string): MeritorderError {
  const { name, message, cause } = error;
  if (/max_payload/.test(message)) {
    const { status } = ERRORS.body_too_large;
    return new MeritorderError('body_too_large', 'The body is above what the server carries.', status, requestId);
  }
  if (name === 'PermissionViolationError' || (cause as Error | undefined)?.name === 'PermissionViolationError')
    return new MeritorderError('not_permitted', message, 403, requestId);
  return new MeritorderError('closed', message, 0, requestId);
}
