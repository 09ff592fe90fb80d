import { parseJson } from '@meritorder/kernel';
import { Readable } from 'node:stream';
import { Pool, type Dispatcher } from 'undici';
import { MAX_ANSWER_BYTES, type BackendConfig } from '@meritorder/contracts';
import { UpstreamError, type ProviderRequest, type WireCall, type WireReply } from '../application/ports.js';
import { BodyReads } from './body-reads.js';
import { refusalOf } from './refusal.js';

const MAX_ERROR_BYTES = 64 * 1024;
/** What comes after the end of a stream, for the sake of its connection. */
const MAX_REST_BYTES = 4 * 1024;
const REST_WITHIN_MS = 1_000;

export const SENT_RETRYABLE = { retryable: true, sent: true, refusedUpstream: false };
export const SENT_FINAL = { retryable: false, sent: true, refusedUpstream: false };

/** HTTP/1.1 for every protocol: no retry, no redirect, all four timeouts of a backend, bounded answers. */
export class HttpTransport {
  private readonly pools = new Map<string, Pool>();

  /**
   * One physical call. It has the answer's head when this resolves; a status of 400 or above is thrown as what it means.
   * @throws UpstreamError
   */
  async post(request: ProviderRequest, call: WireCall): Promise<HttpAnswer> {
    const patience = new Patience(request);
    let response: Dispatcher.ResponseData;
    try {
      response = request.carry
        ? responseOf(await request.carry(call))
        : await this.send(request, call, patience.signal);
    } catch (error) {
      patience.end();
      throw transportError(error, false);
    }
    const answer = new HttpAnswer(response, patience);
    if (response.statusCode < 300) return answer;
    const refusal = refusalOf(
      {
        status: response.statusCode,
        headers: response.headers,
        body: await answer.text(MAX_ERROR_BYTES).catch(() => ''),
      },
      Date.now(),
    );
    throw new UpstreamError(refusal.code, refusal.message, {
      retryable: refusal.retryable,
      sent: true,
      refusedUpstream: refusal.didNothing,
      status: response.statusCode,
      retryAfterSeconds: refusal.retryAfterSeconds,
    });
  }

  private send(
    request: ProviderRequest,
    { url, headers, body }: WireCall,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const target = new URL(url);
    return this.pool(request.backend, target.origin).request({
      method: 'POST',
      path: target.pathname + target.search,
      headers: {
        'content-type': 'application/json',
        accept: request.stream ? 'text/event-stream' : 'application/json',
        'x-client-request-id': request.attemptId,
        ...headers,
        ...request.headers,
      },
      body,
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  private pool(backend: BackendConfig, origin: string): Pool {
    const name = `${origin} ${backend.connectTimeoutMs}`;
    let pool = this.pools.get(name);
    if (!pool) {
      pool = new Pool(origin, {
        connections: 256,
        pipelining: 1,
        // Over HTTP/2 a client may send again what a server did not take; what is sent is counted here.
        allowH2: false,
        connectTimeout: backend.connectTimeoutMs,
        keepAliveTimeout: 30_000,
      });
      this.pools.set(name, pool);
    }
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all([...this.pools.values()].map((p) => p.destroy()));
  }
}

/** As undici would have it. */
function responseOf({ status, body }: WireReply): Dispatcher.ResponseData {
  return {
    statusCode: status,
    headers: { 'content-type': 'application/json' },
    body: Readable.from([Buffer.from(body)]),
  } as unknown as Dispatcher.ResponseData;
}

/** An answer whose body is still to be read. */
export class HttpAnswer {
  private hasEnded = false;
  private readonly reads: BodyReads;

  constructor(
    private readonly response: Dispatcher.ResponseData,
    private readonly patience: Patience,
  ) {
    this.reads = new BodyReads(response.body);
  }

  get headers(): Readonly<Record<string, string | string[] | undefined>> {
    return this.response.headers;
  }

  /** Whether it says where its end is: else the end of its connection is, which may have been lost. */
  get saysItsLength(): boolean {
    const { headers } = this.response;
    return headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined;
  }

  /** Something was generated: from here on the time between tokens counts. */
  heard(): void {
    this.patience.heard();
  }

  /** It has said that it is over: what may still come is its last frame, after which its connection takes the next call. */
  ended(): void {
    this.hasEnded = true;
  }

  /** Closes the connection, also under a read that is waiting. */
  leave(): void {
    this.patience.end();
    this.response.body.destroy();
  }

  /** To be called by whoever reads no further, whatever made it stop. */
  done(): void {
    if (this.hasEnded) void this.readRest();
    else this.leave();
  }

  /** The bytes that came next; undefined: that was all. @throws UpstreamError */
  async read(): Promise<Uint8Array | undefined> {
    this.patience.waiting();
    try {
      return await this.reads.next();
    } catch (error) {
      throw transportError(error, true);
    } finally {
      this.patience.waited();
    }
  }

  /** Bytes as they come. Whoever stops reading closes the connection. @throws UpstreamError */
  async *bytes(): AsyncGenerator<Uint8Array, void> {
    try {
      for (let bytes = await this.read(); bytes; bytes = await this.read()) yield bytes;
    } finally {
      this.done();
    }
  }

  private async readRest(): Promise<void> {
    this.patience.end();
    const late = setTimeout(() => this.leave(), REST_WITHIN_MS);
    try {
      let size = 0;
      for (;;) {
        const bytes = await this.reads.next();
        if (!bytes || (size += bytes.length) > MAX_REST_BYTES) return;
      }
    } catch {
      // The answer was whole without it.
    } finally {
      clearTimeout(late);
      this.leave();
    }
  }

  /** @throws UpstreamError also where it has more than so many bytes */
  async text(maxBytes = MAX_ANSWER_BYTES): Promise<string> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of this.bytes()) {
      size += part.length;
      if (size > maxBytes)
        throw new UpstreamError('protocol', `the answer has more than ${maxBytes} bytes`, SENT_FINAL);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  /** A whole answer. @throws UpstreamError */
  async json(): Promise<Record<string, unknown>> {
    const text = await this.text();
    let body: unknown;
    try {
      body = parseJson(text);
    } catch {
      body = undefined;
    }
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
    throw new UpstreamError('protocol', 'the answer is not a JSON object', SENT_RETRYABLE);
  }
}

/**
 * How long a call is waited for: until its deadline, and where it streams, for the first token and between two of them. Comments
 * and pings are no tokens, so that a backend that is alive and says nothing is given up too. Only time spent waiting for it
 * counts, not the time a slow reader takes. An answer that is not streamed comes when all of it is generated, so there its
 * deadline alone counts.
 */
export class Patience {
  private readonly abort = new AbortController();
  private readonly deadline: NodeJS.Timeout;
  private readonly onAbort: () => void;
  /** Runs on while nobody waits: to set and clear one for every chunk costs more than to look again when it goes off. */
  private timer: NodeJS.Timeout | undefined;
  private limitMs: number;
  /** Undefined: nobody waits for it now. */
  private sinceMs: number | undefined;
  private spentMs = 0;
  private hasHeard = false;

  constructor(private readonly request: ProviderRequest) {
    const { stream, signal, deadlineMs, firstTokenTimeoutMs } = request;
    this.limitMs = stream ? firstTokenTimeoutMs : Infinity;
    this.onAbort = () => this.abort.abort(new UpstreamError('cancelled', 'cancelled', SENT_FINAL));
    if (signal.aborted) this.onAbort();
    else signal.addEventListener('abort', this.onAbort, { once: true });
    this.deadline = setTimeout(
      () => this.abort.abort(new UpstreamError('timeout', 'the deadline passed', SENT_FINAL)),
      Math.max(1, Math.min(LONGEST_TIMER_MS, deadlineMs - Date.now())),
    );
    this.waiting();
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  waiting(): void {
    if (this.limitMs === Infinity) return;
    this.sinceMs ??= performance.now();
    this.timer ??= this.lookIn(this.limitMs - this.spentMs);
  }

  waited(): void {
    if (this.sinceMs === undefined) return;
    this.spentMs += performance.now() - this.sinceMs;
    this.sinceMs = undefined;
  }

  heard(): void {
    this.spentMs = 0;
    // Whoever reads ahead is waiting already.
    if (this.sinceMs !== undefined) this.sinceMs = performance.now();
    if (this.hasHeard) return;
    this.hasHeard = true;
    if (this.limitMs === Infinity) return;
    this.limitMs = this.request.backend.betweenTokensTimeoutMs;
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = this.lookIn(this.limitMs);
  }

  private lookIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.look(), Math.max(1, ms));
  }

  private look(): void {
    this.timer = undefined;
    if (this.sinceMs === undefined) return;
    const leftMs = this.limitMs - this.spentMs - (performance.now() - this.sinceMs);
    if (leftMs > 0) {
      this.timer = this.lookIn(leftMs);
      return;
    }
    const message = this.hasHeard ? 'no token for too long' : 'no first token in time';
    this.abort.abort(new UpstreamError('timeout', message, SENT_RETRYABLE));
  }

  end(): void {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
    this.timer = undefined;
    this.sinceMs = undefined;
    this.limitMs = Infinity;
    this.request.signal.removeEventListener('abort', this.onAbort);
  }
}

/** What a timer takes. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Connection errors. Only what surely never left is "not sent". @param answering whether the answer had begun */
export function transportError(error: unknown, answering: boolean): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const { code, message } = error as { code?: string; message: string };
  if (!answering && code && NEVER_CONNECTED.has(code)) {
    return new UpstreamError('connect', `cannot connect (${code})`, {
      retryable: true,
      sent: false,
      refusedUpstream: false,
    });
  }
  return new UpstreamError('cut', `the connection was lost (${code ?? message})`, SENT_RETRYABLE);
}
