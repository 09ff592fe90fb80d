import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Msg, Subscription } from '@nats-io/transport-node';
import {
  HEDGE_LOST,
  isOrgReply,
  subjects,
  TurnRequest,
  WorkRequest,
  type BackendConfig,
  type EngineReport,
  type MeritorderConfig,
  type WorkerHeartbeat,
} from '@meritorder/contracts';
import { newId, systemClock } from '@meritorder/kernel';
import { decodeJson, extractTrace, injectTrace, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import { meter, tracer } from '@meritorder/telemetry';
import { context as otelContext, SpanKind, SpanStatusCode, trace, type Context } from '@opentelemetry/api';
import type { BatchOptions, Batches } from './adapters/batch/batches.js';
import { outboxOf } from './adapters/caller-outbox.js';
import { askForTurn, NatsCallerLink, NatsRouterLink, NatsUsageLog } from './adapters/nats-links.js';
import { answerDialect, type AnswerDialect } from './application/answer-dialect.js';
import type { Upstream } from './application/ports.js';
import { DRAINING, runAttempt } from './application/run-attempt.js';
import { HedgeTurn, OwnTurn, type Turn } from './application/turn.js';
import { upstreamFor, type Wires } from './application/upstream-for.js';

export const WORKER_OPTIONS = Symbol('WORKER_OPTIONS');
export interface WorkerOptions {
  name: 'provider-worker' | 'local-worker';
  bus: Bus;
  config: MeritorderConfig;
  backends: BackendConfig[];
  wires: Wires;
  /** Closes the wires. */
  close(): Promise<void>;
  /** Where some of the backends are asked in batches. */
  batches?: (of: Pick<BatchOptions, 'worker' | 'maxMessageBytes' | 'warn'>) => Batches;
  /** Of own hardware: what is known of the engines there. */
  engines?: Engines;
}

/** What the engines say of themselves, by backend. */
export interface Engines {
  /** `serves`: it is there and serves the backend's model. */
  of(backend: string): { serves: boolean; report?: EngineReport };
  /** Tells when one begins or ceases to serve. */
  onChange?(tell: (backend: string) => void): void;
}

const HEARTBEAT_MS = 1_000;
/** At most so often. */
const FREE_SLOT_TOLD_WITHIN_MS = 20;
/** What ends with the worker says so within this: its record, a word to its router, one to its caller. */
const LAST_WORDS_MS = 3_000;
/** A hedge asks for the turn of an attempt that may be over; the oldest are forgotten. */
const MOST_TURNS = 10_000;
/** What a NATS server carries unless it is configured. */
const LEAST_MAX_PAYLOAD = 1_048_576;

interface Served {
  backend: BackendConfig;
  work: Subscription;
  /** What its attempts are told. */
  goes: Subscription;
}

interface Running {
  abort: AbortController;
  router: NatsRouterLink;
  caller: NatsCallerLink;
  done: Promise<void>;
}

/** Takes work for its backends and runs it; one wildcard subscription each for acknowledgements, cancels and stops. */
@Injectable()
export class WorkerController implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger(WorkerController.name);
  private readonly worker = newId();
  private readonly byAttempt = new Map<string, Running>();
  /** A request may have two attempts here. */
  private readonly byRequest = new Map<string, Set<Running>>();
  private readonly turns = new Map<string, OwnTurn>();
  private readonly inFlight = new Map<string, number>();
  private readonly served = new Map<string, Served>();
  private readonly toldSoon = new Set<string>();
  /** By backend and org; what is not in flight has no entry. */
  private readonly inFlightOfOrg = new Map<string, Map<string, number>>();
  private readonly attempts = meter().createCounter('meritorder_attempts', {
    description: 'Attempts by backend and how they ended',
  });
  private batches: Batches | undefined;
  private draining = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(@Inject(WORKER_OPTIONS) private readonly options: WorkerOptions) {}

  onApplicationBootstrap(): void {
    const listen = (subject: string, handle: (message: Msg) => void): void => void this.listen(subject, handle);
    const each = (m: Msg, run: (running: Running) => void): void => this.byRequest.get(requestKey(m))?.forEach(run);
    listen('inference.ack.v1.*.*', (m) => each(m, ({ caller }) => caller.acknowledge(ackedSeq(m))));
    listen('inference.cancel.v1.*.*', (m) => {
      each(m, ({ abort }) => abort.abort('cancelled'));
      const [, , , org, request] = m.subject.split('.');
      this.batches?.cancel(org!, request!);
    });
    listen('attempt.stop.v1.*', (m) =>
      this.byAttempt.get(attemptOf(m))?.abort.abort(m.string() === HEDGE_LOST ? HEDGE_LOST : 'stopped'),
    );
    listen('attempt.turn.v1.*', (m) => this.askedForTurn(m));
    this.timer = setInterval(() => this.heartbeat(), HEARTBEAT_MS);
    this.batches = this.options.batches?.({
      worker: this.worker,
      maxMessageBytes: this.maxMessageBytes,
      warn: (message) => this.log.warn(message),
    });
    // Routers hear of it at once, not a second later.
    this.options.engines?.onChange?.((id) => {
      const served = this.served.get(id);
      if (served) this.beat(served.backend, this.draining);
    });
    this.serve(this.options.backends);
  }

  /** Takes work for these and no others from now on; what it has in hand of others it ends. */
  serve(backends: readonly BackendConfig[]): void {
    if (this.draining) return;
    for (const { backend, work, goes } of this.served.values()) {
      if (backends.some((b) => b.id === backend.id)) continue;
      this.beat(backend, true);
      work.unsubscribe();
      // Those in hand ask.
      goes.unsubscribe();
      this.served.delete(backend.id);
    }
    for (const backend of backends) {
      const { id } = backend;
      const take = (message: Msg): void => {
        const now = this.served.get(id);
        if (now) this.take(now.backend, message);
      };
      const { work, goes } = this.served.get(id) ?? {
        // Before the work: nobody goes who is not there.
        goes: this.listen(subjects.attemptGoes(backend), (m) => this.byAttempt.get(attemptOf(m))?.router.goes()),
        work: this.listen(subjects.work(backend), take, 'workers'),
      };
      this.served.set(id, { backend, work, goes });
    }
    this.heartbeat();
  }

  private listen(subject: string, handle: (message: Msg) => void, queue?: string): Subscription {
    return this.options.bus.nats.subscribe(subject, {
      ...(queue ? { queue } : {}),
      callback: (error, message) => {
        if (error) this.log.error(`${subject}: ${error.message}`);
        else handle(message);
      },
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.draining = true;
    this.heartbeat();
    clearInterval(this.timer);
    for (const { work } of this.served.values()) work.unsubscribe();
    const inHand = [...this.byAttempt.values()];
    const over = Promise.all(inHand.map((r) => r.done));
    await within(this.options.config.limits.drainMs, Promise.all([over, this.batches?.drain()]));
    // Nobody hears of what is dropped: callers would wait until their deadline, for a router that was told it had failed.
    for (const { abort } of inHand) abort.abort(DRAINING);
    await within(LAST_WORDS_MS, over);
    outboxOf(this.options.bus.nats).flush();
    await this.options.close();
  }

  private take(backend: BackendConfig, message: Msg): void {
    if (!message.reply) return;
    const link = new NatsRouterLink(this.options.bus, message, backend.batch === undefined);
    let work: WorkRequest;
    try {
      work = decodeJson(WorkRequest, message.data);
    } catch (error) {
      return link.send({ type: 'refused', code: 'invalid', message: (error as Error).message });
    }
    const { org } = work.terms.attribution;
    if (!work.replyTo.startsWith(`${SERVICE_INBOX.router}.`) && !isOrgReply(org, work.replyTo)) {
      return link.send({ type: 'refused', code: 'invalid', message: 'the reply subject is not an inbox of the org' });
    }
    const busy = this.inFlight.get(backend.id) ?? 0;
    if (this.draining) return link.send({ type: 'refused', code: 'draining', message: 'the worker is draining' });
    if (this.options.engines?.of(backend.id).serves === false)
      return link.send({ type: 'refused', code: 'draining', message: 'its engine is not there' });
    if (busy >= this.maxConcurrency(backend)) {
      return link.send({ type: 'refused', code: 'busy', message: `${busy} calls in flight, the most it may have` });
    }
    if (backend.batch) return this.collect(backend, work, link, extractTrace(message.headers));
    const wiring = upstreamFor(this.options.wires, backend, work.terms.kind);
    if (!wiring)
      return link.send({ type: 'refused', code: 'invalid', message: `no way to ask it for ${work.terms.kind}` });
    let answer: AnswerDialect;
    try {
      answer = answerDialect(work, wiring.translated, wiring.upstream.marks);
    } catch (error) {
      return link.send({ type: 'refused', code: 'invalid', message: (error as Error).message });
    }
    this.start(backend, work, { upstream: wiring.upstream, answer }, link, extractTrace(message.headers));
  }

  private collect(backend: BackendConfig, work: WorkRequest, router: NatsRouterLink, context: Context): void {
    const { attemptId, attribution } = work.terms;
    const warn = (error: Error): void => this.log.warn(`attempt ${attemptId}: ${error.message}`);
    this.count(backend, attribution.org, 1);
    const over = (): void => void this.count(backend, attribution.org, -1);
    const usageLog = new NatsUsageLog(this.options.bus, context, warn);
    void this.batches!.take(backend, { work, router, usageLog, over });
  }

  /** Workers that do not have the attempt are silent. */
  private askedForTurn(message: Msg): void {
    const turn = this.turns.get(attemptOf(message));
    if (!turn) return;
    try {
      message.respond(JSON.stringify(turn.asked(decodeJson(TurnRequest, message.data))));
    } catch (error) {
      this.log.warn(`${message.subject}: ${(error as Error).message}`);
    }
  }

  private turnOf(work: WorkRequest, abort: AbortController, router: NatsRouterLink): Turn {
    const { attemptId, backend, hedgeOf } = work.terms;
    if (hedgeOf !== undefined)
      return new HedgeTurn(attemptId, askForTurn(this.options.bus, router, attemptId, hedgeOf));
    const turn = new OwnTurn({ attempt_id: attemptId, backend, outcome: 'cancelled', code: HEDGE_LOST }, () =>
      abort.abort(HEDGE_LOST),
    );
    if (!work.mayBeHedged) return turn;
    this.turns.set(attemptId, turn);
    if (this.turns.size > MOST_TURNS) this.turns.delete(this.turns.keys().next().value!);
    return turn;
  }

  private start(
    backend: BackendConfig,
    work: WorkRequest,
    call: { upstream: Upstream; answer: AnswerDialect },
    router: NatsRouterLink,
    parent: Context,
  ): void {
    const { bus, config, name } = this.options;
    const { terms } = work;
    const operation = terms.kind === 'embeddings' ? 'embeddings' : 'chat';
    const span = tracer().startSpan(
      `${operation} ${backend.model}`,
      {
        kind: SpanKind.CLIENT,
        attributes: {
          'gen_ai.operation.name': operation,
          'gen_ai.provider.name': backend.provider,
          'gen_ai.request.model': backend.model,
          'server.address': new URL(backend.baseUrl).hostname,
          'meritorder.backend': backend.id,
          'meritorder.attempt.id': terms.attemptId,
        },
      },
      parent,
    );
    const context = trace.setSpan(parent, span);
    const carrier = injectTrace(undefined, context);
    const traceparent = carrier.get('traceparent');
    const abort = new AbortController();
    const caller = new NatsCallerLink(bus, work, { ...config.limits, maxMessageBytes: this.maxMessageBytes });
    abort.signal.addEventListener('abort', () => caller.abandon());
    const concurrency = this.count(backend, terms.attribution.org, 1);
    const warn = (error: Error): void => this.log.warn(`attempt ${terms.attemptId}: ${error.message}`);
    const usageLog = new NatsUsageLog(bus, context, warn, backend.host);
    const done = otelContext
      .with(context, () =>
        runAttempt(
          work,
          backend,
          {
            clock: systemClock,
            ...call,
            maxMessageBytes: this.maxMessageBytes,
            usageLog: {
              closed: (event) => {
                this.attempts.add(1, { backend: backend.id, outcome: event.outcome });
                if (event.usage) {
                  span.setAttribute('gen_ai.usage.input_tokens', event.usage.inputTokens + event.usage.cacheReadTokens);
                  span.setAttribute('gen_ai.usage.output_tokens', event.usage.outputTokens);
                }
                if (event.outcome === 'failed')
                  span.setStatus({ code: SpanStatusCode.ERROR, message: event.code ?? '' });
                return usageLog.closed(event);
              },
            },
            router,
            caller,
            turn: this.turnOf(work, abort, router),
            worker: this.worker,
            concurrency,
            warn: (message) => this.log.warn(`attempt ${terms.attemptId}: ${message}`),
            upstreamHeaders: traceparent ? { traceparent } : {},
            every: (ms, run) => {
              const timer = setInterval(run, ms);
              return () => clearInterval(timer);
            },
          },
          abort,
        ),
      )
      .catch((error: Error) => this.log.error(`${name}: attempt ${terms.attemptId}: ${error.stack}`))
      .finally(() => {
        span.end();
        this.byAttempt.delete(terms.attemptId);
        const all = this.byRequest.get(key)!;
        all.delete(running);
        if (all.size === 0) this.byRequest.delete(key);
        this.count(backend, terms.attribution.org, -1);
      });
    const running = { abort, router, caller, done };
    this.byAttempt.set(terms.attemptId, running);
    const key = `${terms.attribution.org}.${terms.requestId}`;
    this.byRequest.set(key, (this.byRequest.get(key) ?? new Set()).add(running));
  }

  /** @returns how many are in flight now */
  private count(backend: BackendConfig, org: string, change: 1 | -1): number {
    const count = (this.inFlight.get(backend.id) ?? 0) + change;
    this.inFlight.set(backend.id, count);
    this.countOrg(backend.id, org, change);
    if (change < 0 && count === this.maxConcurrency(backend) - 1) this.beatSoon(backend);
    return count;
  }

  private countOrg(backend: string, org: string, change: 1 | -1): void {
    const ofBackend = this.inFlightOfOrg.get(backend) ?? new Map<string, number>();
    this.inFlightOfOrg.set(backend, ofBackend);
    const count = (ofBackend.get(org) ?? 0) + change;
    if (count > 0) ofBackend.set(org, count);
    else ofBackend.delete(org);
  }

  private get maxMessageBytes(): number {
    return this.options.bus.nats.info?.max_payload ?? LEAST_MAX_PAYLOAD;
  }

  /** An engine takes more than its slots only into a queue of its own, where nobody can send it elsewhere. */
  private maxConcurrency(backend: BackendConfig): number {
    const slots = this.options.engines?.of(backend.id).report?.slots;
    return Math.min(backend.maxConcurrency, slots ?? Infinity);
  }

  /** Routers that saw it full send it nothing: a slot that is free again is told at once, or slots stay idle for a second. */
  private beatSoon({ id }: BackendConfig): void {
    if (this.toldSoon.has(id)) return;
    this.toldSoon.add(id);
    setTimeout(() => {
      this.toldSoon.delete(id);
      const served = this.served.get(id);
      if (served) this.beat(served.backend, this.draining);
    }, FREE_SLOT_TOLD_WITHIN_MS).unref();
  }

  private heartbeat(): void {
    for (const { backend } of this.served.values()) this.beat(backend, this.draining);
  }

  private beat(backend: BackendConfig, draining: boolean): void {
    const engine = this.options.engines?.of(backend.id);
    const beat: WorkerHeartbeat = {
      worker: this.worker,
      backend: backend.id,
      inFlight: this.inFlight.get(backend.id) ?? 0,
      maxConcurrency: this.maxConcurrency(backend),
      draining: draining || engine?.serves === false,
      orgs: Object.fromEntries(this.inFlightOfOrg.get(backend.id) ?? []),
      ...(engine?.report ? { engine: engine.report } : {}),
    };
    this.options.bus.nats.publish(subjects.workerHeartbeat(backend), JSON.stringify(beat));
  }
}

/** Waits for it, and no longer than that. */
async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, limitMs)))]);
  clearTimeout(timer);
}

/** Its last token. */
function attemptOf({ subject }: Msg): string {
  return subject.slice(subject.lastIndexOf('.') + 1);
}

/** `<org>.<request>` of a subject that ends in both. */
function requestKey(message: Msg): string {
  const tokens = message.subject.split('.');
  return `${tokens[3]}.${tokens[4]}`;
}

/** A reader may say up to which sequence number it has read; an empty answer means everything. */
function ackedSeq(message: Msg): number | undefined {
  if (message.data.length === 0 || message.data.length > 16) return undefined;
  const seq = Number(message.string());
  return Number.isSafeInteger(seq) && seq >= 0 ? seq : undefined;
}
