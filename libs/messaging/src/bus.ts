import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, type TlsOptions } from '@nats-io/transport-node';
import type { EventType } from '@meritorder/contracts';
import { encodeEvent, type OutgoingEvent } from './cloud-events.js';
import { isRefusal, remedyOf, whoOf } from './connection-refusal.js';
import { authenticatorOf, type NatsCredentials } from './nats-credentials.js';

export interface BusOptions {
  /** `nats://127.0.0.1:4222`; several separated by commas. */
  url: string;
  user?: string | undefined;
  password?: string | undefined;
  /** In place of user and password; asked at every connect. */
  credentials?: (() => NatsCredentials) | undefined;
  /** See {@link natsTls}. */
  tls?: TlsOptions | undefined;
  /** Name of the process; also the source of its events. */
  name: string;
  /** First token of its inboxes: its NATS user may subscribe to nothing else. */
  inboxPrefix: string;
}

/** One connection with what every service needs of it. */
export interface Bus {
  readonly nats: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly source: string;
  /** False from a disconnect to the next reconnect. */
  connected(): boolean;
  /** The server refused its credentials since it was connected last, and why. */
  refusal(): string | undefined;
  manager(): Promise<JetStreamManager>;
  /** Publishes one fact durably and waits for the server's acknowledgement. Repeating it with the same id is harmless. */
  publishEvent<T extends EventType>(
    event: OutgoingEvent<T>,
    options?: { timeoutMs?: number },
  ): Promise<{ sequence: number; duplicate: boolean }>;
  close(): Promise<void>;
}

/** @throws Error with one line that names the URL and the user when the server cannot be used. */
export async function connectBus(options: BusOptions): Promise<Bus> {
  let nats: NatsConnection;
  const credentials: () => NatsCredentials =
    options.credentials ?? (() => ({ user: options.user, password: options.password }));
  const authenticator = authenticatorOf(credentials);
  try {
    nats = await connect({
      servers: options.url.split(','),
      name: options.name,
      inboxPrefix: options.inboxPrefix,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      pingInterval: 10_000,
      // A server that does not take the client's certificate says nothing at all.
      timeout: 10_000,
      authenticator,
      ...(options.tls ? { tls: options.tls } : {}),
      // What was refused once may be replaced in its file: a service does not give up.
      ignoreAuthErrorAbort: true,
      // A stack for every request, which is thrown away unless that fails.
      noAsyncTraces: true,
    });
  } catch (error) {
    const { message } = error as Error;
    throw new Error(
      `cannot use NATS at ${options.url.replace(/:[^:@/]*@/g, ':***@')} ${whoOf(credentials())}: ${message}; ${remedyOf(error as Error)}`,
    );
  }
  return busOn(nats, options.name);
}

/** A bus on a connection that exists already. */
export function busOn(nats: NatsConnection, name: string): Bus {
  const js = jetstream(nats);
  const source = `/meritorder/${name}`;
  let manager: Promise<JetStreamManager> | undefined;
  let connected = !nats.isClosed();
  let refusal: string | undefined;
  void (async () => {
    for await (const status of nats.status()) {
      const { type } = status;
      if (type === 'disconnect' || type === 'close') connected = false;
      else if (type === 'reconnect') [connected, refusal] = [true, undefined];
      else if (type === 'error' && isRefusal(status.error)) refusal = status.error.message;
    }
  })();
  return {
    nats,
    jetstream: js,
    source,
    connected: () => connected,
    refusal: () => refusal,
    manager: () => (manager ??= jetstreamManager(nats, { checkAPI: false })),
    async publishEvent(event, publishOptions) {
      const { headers, payload } = encodeEvent(event, source);
      const ack = await js.publish(event.subject, payload, {
        msgID: event.id,
        headers,
        timeout: publishOptions?.timeoutMs ?? 5_000,
      });
      return { sequence: ack.seq, duplicate: ack.duplicate };
    },
    async close() {
      if (!nats.isClosed()) await nats.drain().catch(() => nats.close());
    },
  };
}
