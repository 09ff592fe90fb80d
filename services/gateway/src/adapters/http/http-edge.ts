import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Kind, KeyConfig, LimitsConfig, MeritorderConfig, Refusal } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { contextOf, traceparentOf } from '@meritorder/messaging';
import { answerHealth, type HealthChecks } from '@meritorder/service-kit';
import { tracer } from '@meritorder/telemetry';
import { SpanKind, trace } from '@opentelemetry/api';
import { answerCall, type CallOutcome, type CallPorts } from '../../application/answer-call.js';
import { dialectOf, type Dialect } from '../../application/dialect.js';
import { answerKept } from '../../application/answer-kept.js';
import { KeySlots } from '../../application/key-slots.js';
import type { Keys } from '../../application/ports/keys.js';
import { refusalAnswer } from '../../application/relay.js';
import { askedPath, withDeployment } from './azure-path.js';
import { answerClientError } from './client-error.js';
import { Cors } from './cors.js';
import { HttpResponse } from './http-response.js';
import { answerModels } from './models.js';
import { readBody } from './read-body.js';

export interface EdgeOptions {
  config: Pick<MeritorderConfig, 'orgs' | 'routes' | 'backends' | 'gateway'>;
  limits: LimitsConfig;
  keys: Keys;
  ports: Omit<CallPorts, 'onError'>;
  health: HealthChecks;
  /** Told of every call that has ended, and of what was refused; `none` is where no key was found. */
  onOutcome(org: string, kind: Kind | 'models' | 'none', outcome: CallOutcome): void;
  onError(error: Error, requestId: string): void;
}

/** Everything that can be asked, by path. */
const KINDS = new Map<string, Kind>([
  ['/v1/chat/completions', 'chat'],
  ['/v1/embeddings', 'embeddings'],
  ['/v1/messages', 'messages'],
  ['/v1/responses', 'responses'],
]);
/** Anthropic's: how many tokens a request of messages has. Nothing is reserved, and nothing goes to a backend. */
const COUNT_TOKENS = '/v1/messages/count_tokens';
/** OpenAI's, that are kept: one by its id is read or forgotten. */
const KEPT_RESPONSE = /^\/v1\/responses\/([^/]+)$/;
const MODELS = '/v1/models';
const PATHS = [...KINDS.keys(), COUNT_TOKENS, MODELS].join(', ');
/** Of a path; whatever it is, OPTIONS says so. */
const READING = ['GET', 'HEAD'];
const CALLING = ['POST'];
const KEEPING = ['GET', 'HEAD', 'DELETE'];
/** Longer than the 60 s of common load balancers: whoever reuses a connection must not find it closed. */
const KEEP_ALIVE_MS = 75_000;
const TIMEOUT_CHECK_MS = 1_000;
const DRAIN_CHECK_MS = 50;
/** For what is told to have ended: an answer with an idempotency key is kept first. */
const LAST_WORDS_MS = 2_000;
const STOPPED: Refusal = {
  code: 'gateway_stopped',
  message: 'The gateway was stopped before the end of the answer.',
  retryAfterSeconds: 1,
};

/** The HTTP edge: who asks, for what, within which limits; the rest is done by the application. */
export class HttpEdge {
  readonly server: Server;
  readonly slots: KeySlots;
  private readonly cors: Cors;
  private draining = false;

  constructor(private readonly options: EdgeOptions) {
    const { limits, config } = options;
    this.cors = new Cors(config.gateway.corsOrigins);
    this.slots = new KeySlots(limits);
    this.server = createServer(
      {
        maxHeaderSize: limits.headerBytes,
        requestTimeout: limits.requestReadTimeoutMs,
        headersTimeout: limits.requestReadTimeoutMs,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
      },
      (request, response) => this.take(request, response),
    );
    // Those that wait between two requests count too.
    this.server.maxConnections = limits.requestsInFlightPerGateway * 2 + 256;
    this.server.on('clientError', answerClientError);
  }

  isDraining(): boolean {
    return this.draining;
  }

  /** @throws Error with one line when the port is in use. */
  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          new Error(
            error.code === 'EADDRINUSE' ? `port ${port} is in use; set GATEWAY_PORT to another` : error.message,
          ),
        ),
      );
      this.server.listen(port, host, resolve);
    });
  }

  /**
   * Takes no more connections, ends the idle ones, and waits for what is running. What still runs then ends with an error, as its
   * dialect has it: a stream without one would look like an answer to clients that do not look for its end.
   */
  async drain(limitMs: number): Promise<void> {
    this.draining = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    if (!(await this.leftWithin(limitMs))) {
      this.options.ports.inference.end(STOPPED);
      await this.leftWithin(LAST_WORDS_MS);
    }
    this.server.closeIdleConnections();
    const rest = setTimeout(() => this.server.closeAllConnections(), DRAIN_CHECK_MS * 10);
    await closed;
    clearTimeout(rest);
  }

  /** @returns whether no call runs any more */
  private async leftWithin(limitMs: number): Promise<boolean> {
    const deadline = Date.now() + limitMs;
    while (this.slots.inFlight > 0 && Date.now() < deadline) {
      this.server.closeIdleConnections();
      await new Promise((r) => setTimeout(r, DRAIN_CHECK_MS));
    }
    return this.slots.inFlight === 0;
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    // Whoever asks on an open connection meanwhile is answered, and then told to open another.
    if (this.draining) response.shouldKeepAlive = false;
    const { path, deployment } = askedPath(request.url!);
    const counts = path === COUNT_TOKENS;
    const kind = counts ? 'messages' : KINDS.get(path);
    if (kind === undefined && answerHealth(request, response, this.options.health)) return;
    this.cors.mark(request, response);
    const requestId = newId();
    const dialect = dialectOf(kind ?? (request.headers['anthropic-version'] ? 'messages' : 'chat'));
    response.setHeader('x-meritorder-request-id', requestId);
    response.setHeader(dialect.requestIdHeader, requestId);
    const http = new HttpResponse(response, this.options.limits.streamAckTimeoutMs);
    const kept = KEPT_RESPONSE.exec(path)?.[1];
    const isModels = path === MODELS || path.startsWith(`${MODELS}/`);
    const presented = presentedKey(request);
    const found = presented === undefined ? undefined : this.options.keys.find(presented);
    const reject = (refusal: Refusal): void => {
      this.options.onOutcome(found?.org ?? 'none', kind ?? (isModels ? 'models' : 'none'), refusal.code);
      // What was not read of the body would be taken for the next request.
      if (!request.complete) response.shouldKeepAlive = false;
      http.send(refusalAnswer(dialect, requestId, refusal));
    };
    if (kind === undefined && !isModels && kept === undefined)
      return reject({ code: 'path_unknown', message: `There is nothing at this path; there are: ${PATHS}.` });
    const methods = kept !== undefined ? KEEPING : kind === undefined ? READING : CALLING;
    if (!methods.includes(request.method!)) {
      const allow = [...methods, 'OPTIONS'].join(', ');
      response.setHeader('allow', allow);
      if (request.method !== 'OPTIONS')
        return reject({
          code: 'method_unsupported',
          message: `This path is asked with ${methods === KEEPING ? 'GET or DELETE' : methods[0]}.`,
        });
      this.cors.markPreflight(request, response, allow);
      return void response.writeHead(204).end();
    }
    if (!found) return reject(this.noKey(presented));
    if (kept !== undefined)
      return void answerKept(this.options.ports.responses, request.method!, found.org, kept)
        .then((answer) => ('code' in answer ? reject(answer) : http.send(answer)))
        .catch((error: Error) => {
          this.options.onError(error, requestId);
          reject({ code: 'responses_unavailable', message: 'It could not be read.', retryAfterSeconds: 1 });
        });
    if (kind === undefined)
      return answerModels(this.options.config, found.org, path.slice(MODELS.length + 1), { http, dialect, requestId });
    const leave = this.slots.take(found.org, found.key.id);
    if (typeof leave !== 'function') return reject(leave);
    this.call({ request, http, kind, counts, deployment, requestId, presented: presented!, ...found, reject })
      .catch((error: Error) => {
        this.options.onError(error, requestId);
        if (response.headersSent) response.destroy();
        else reject({ code: 'internal', message: `Something broke; request ${requestId}.` });
      })
      .finally(leave);
  }

  private noKey(presented: string | undefined): Refusal {
    if (presented === undefined)
      return { code: 'key_required', message: 'Send an API key: Authorization: Bearer KEY, x-api-key or api-key.' };
    const stale = this.options.keys.stale();
    return stale
      ? { code: 'keys_unavailable', message: `${stale}; try again.`, retryAfterSeconds: 2 }
      : { code: 'key_invalid', message: 'The API key is unknown, or was revoked.' };
  }

  private async call(taken: Taken): Promise<void> {
    const { request, http, kind, counts, deployment, requestId, presented, org, key, reject } = taken;
    const { limits, ports, onOutcome, onError } = this.options;
    const sent = await readBody(request, limits.bodyBytes);
    if (sent === 'left') return onOutcome(org, kind, 'left');
    if (!Buffer.isBuffer(sent)) return reject(sent);
    const body = deployment === undefined ? sent : withDeployment(sent, deployment);
    const parent = contextOf(textOf(request.headers['traceparent']));
    const span = tracer().startSpan(
      `POST ${request.url!.split('?', 1)[0]!}`,
      { kind: SpanKind.SERVER, attributes: { 'meritorder.org': org, 'meritorder.request.id': requestId } },
      parent,
    );
    try {
      const outcome = await answerCall(
        { ...ports, onError },
        {
          kind,
          counts,
          org,
          key,
          presentedKey: presented,
          requestId,
          body,
          idempotencyKey: textOf(request.headers['idempotency-key']),
          // Of several such headers Node joins the values by commas, as one has them.
          betas: textOf(request.headers['anthropic-beta']),
          traceparent: traceparentOf(trace.setSpan(parent, span)),
          tracestate: textOf(request.headers['tracestate']),
        },
        http,
      );
      span.setAttribute('meritorder.outcome', outcome);
      onOutcome(org, kind, outcome);
    } finally {
      span.end();
    }
  }
}

interface Taken {
  request: IncomingMessage;
  http: HttpResponse;
  kind: Kind;
  counts: boolean;
  /** The model, where the path names it. */
  deployment: string | undefined;
  requestId: string;
  presented: string;
  org: string;
  key: KeyConfig;
  reject(refusal: Refusal): void;
}

/** Where an answer goes, and how it is worded. */
export interface Answering {
  http: HttpResponse;
  dialect: Dialect;
  requestId: string;
}

function presentedKey({ headers }: IncomingMessage): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  return bearer ?? textOf(headers['x-api-key']) ?? textOf(headers['api-key']);
}

function textOf(header: string | string[] | undefined): string | undefined {
  return (Array.isArray(header) ? header[0] : header) || undefined;
}
