import type { Msg, Subscription } from '@nats-io/transport-node';
import {
  subjects,
  WORKER_SILENT_MS,
  WorkEvent,
  type BackendConfig,
  type RouterReply,
  type WorkRequest,
} from '@meritorder/contracts';
import { newId, type Clock } from '@meritorder/kernel';
import { injectTrace, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { AttemptSignal, Workers, WorkSession } from '../application/ports.js';

type Heard = { signal: AttemptSignal; reply(answer: RouterReply): void };

/** Sends work to one worker of a backend and hears of it on one inbox per attempt, under one subscription per router. */
export class NatsWorkers implements Workers {
  private readonly prefix = `${SERVICE_INBOX.router}.work.${newId()}`;
  private readonly sessions = new Map<string, Session>();
  private readonly subscription: Subscription;

  /** @param awake does not move while this process stands still */
  constructor(
    private readonly bus: Bus,
    private readonly awake: Clock,
  ) {
    this.subscription = bus.nats.subscribe(`${this.prefix}.*`, {
      callback: (error, message) => {
        if (error) return;
        const session = this.sessions.get(message.subject.slice(this.prefix.length + 1));
        if (session) session.hear(message);
        else answerForGone(message);
      },
    });
  }

  /** To be called several times a second. */
  giveUpSilent(): void {
    const nowMs = this.awake.nowMs();
    for (const session of this.sessions.values()) session.giveUpIfSilent(nowMs);
  }

  dispatch(work: WorkRequest, backend: BackendConfig, context: Context): WorkSession {
    const { attemptId } = work.terms;
    const session = new Session(
      this.awake,
      () => this.bus.nats.publish(subjects.attemptGo(backend, attemptId)),
      (reason) => this.bus.nats.publish(subjects.attemptStop(attemptId), reason ?? ''),
      () => this.sessions.delete(attemptId),
    );
    this.sessions.set(attemptId, session);
    this.bus.nats.publish(subjects.work(backend), JSON.stringify(work), {
      reply: `${this.prefix}.${attemptId}`,
      headers: injectTrace(undefined, context),
    });
    return session;
  }

  close(): void {
    this.subscription.unsubscribe();
  }
}

class Session implements WorkSession {
  private readonly heard: Heard[] = [];
  private waiting: ((heard: Heard) => void) | undefined;
  private waitingSinceMs = 0;
  private firstTokenSeen = false;
  private take!: () => void;
  readonly taken = new Promise<void>((resolve) => (this.take = resolve));

  constructor(
    private readonly awake: Clock,
    readonly go: WorkSession['go'],
    readonly stop: WorkSession['stop'],
    private readonly onClose: () => void,
  ) {}

  hear(message: Msg): void {
    const signal = signalOf(message);
    if (!signal) return;
    if (signal.type !== 'refused' && signal.type !== 'no-worker') this.take();
    if (signal.type === 'heartbeat') this.firstTokenSeen = signal.firstTokenSeen;
    const heard: Heard = { signal, reply: (answer) => void (message.reply && message.respond(JSON.stringify(answer))) };
    if (this.waiting) this.tell(heard);
    else this.heard.push(heard);
  }

  next(): Promise<Heard> {
    const ready = this.heard.shift();
    if (ready) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.waiting = resolve;
      this.waitingSinceMs = this.awake.nowMs();
    });
  }

  giveUpIfSilent(nowMs: number): void {
    if (this.waiting && nowMs - this.waitingSinceMs >= WORKER_SILENT_MS)
      this.tell({ signal: { type: 'silent', firstTokenSeen: this.firstTokenSeen }, reply: () => {} });
  }

  close(): void {
    this.onClose();
  }

  private tell(heard: Heard): void {
    this.waiting?.(heard);
    this.waiting = undefined;
  }
}

/** A worker that was silent for long asks whether it was given up. */
function answerForGone(message: Msg): void {
  if (message.reply && signalOf(message)?.type === 'heartbeat')
    message.respond(JSON.stringify({ type: 'stop', reason: 'given-up' } satisfies RouterReply));
}

function signalOf(message: Msg): AttemptSignal | undefined {
  // NATS' own answer when nobody serves the subject.
  if (message.data.length === 0 && message.headers?.code === 503) return { type: 'no-worker' };
  try {
    const parsed = WorkEvent.safeParse(message.json());
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
