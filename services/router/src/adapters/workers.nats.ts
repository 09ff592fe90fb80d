import type { Msg, Subscription } from '@nats-io/transport-node';
import {
  subjects,
  WORKER_SILENT_MS,
  WorkEvent,
  type BackendConfig,
  type RouterReply,
  type WorkRequest,
} from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { injectTrace, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { AttemptSignal, Workers, WorkSession } from '../application/ports.js';

type Heard = { signal: AttemptSignal; reply(answer: RouterReply): void };

/** Sends work to one worker of a backend and hears of it on one inbox per attempt, under one subscription per router. */
export class NatsWorkers implements Workers {
  private readonly prefix = `${SERVICE_INBOX.router}.work.${newId()}`;
  private readonly sessions = new Map<string, Session>();
  private readonly subscription: Subscription;

  constructor(private readonly bus: Bus) {
    this.subscription = bus.nats.subscribe(`${this.prefix}.*`, {
      callback: (error, message) => {
        if (!error) this.sessions.get(message.subject.slice(this.prefix.length + 1))?.hear(message);
      },
    });
  }

  dispatch(work: WorkRequest, backend: BackendConfig, context: Context): WorkSession {
    const { attemptId } = work.terms;
    const session = new Session(
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
  private timer: NodeJS.Timeout | undefined;
  private firstTokenSeen = false;
  private take!: () => void;
  readonly taken = new Promise<void>((resolve) => (this.take = resolve));

  constructor(
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
    clearTimeout(this.timer);
    if (this.waiting) {
      this.waiting(heard);
      this.waiting = undefined;
    } else this.heard.push(heard);
  }

  next(): Promise<Heard> {
    const ready = this.heard.shift();
    if (ready) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.waiting = resolve;
      this.timer = setTimeout(() => {
        this.waiting = undefined;
        resolve({ signal: { type: 'silent', firstTokenSeen: this.firstTokenSeen }, reply: () => {} });
      }, WORKER_SILENT_MS);
    });
  }

  close(): void {
    clearTimeout(this.timer);
    this.onClose();
  }
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
