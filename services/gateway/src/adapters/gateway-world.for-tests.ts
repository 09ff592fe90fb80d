import { request, type IncomingHttpHeaders } from 'node:http';
import { PostgresIdempotencyStore, RedisRateLimits } from '@meritorder/access';
import { KeyRing } from '@meritorder/access/keys';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { errorBody, parseConfig, type KeyLimits, type MeritorderConfig, type Refusal } from '@meritorder/contracts';
import { sha256Hex } from '@meritorder/kernel';
import {
  connectBus,
  ensureTopology,
  natsServerConfig,
  natsUsers,
  SERVICE_INBOX,
  type Bus,
} from '@meritorder/messaging';
import { testServers, waitFor } from '@meritorder/testing';
import type { DataSource } from 'typeorm';
import type { CallPorts } from '../application/answer-call.js';
import { HttpEdge } from './http/http-edge.js';
import { NatsInference } from './inference.nats.js';

export const KEY = 'sk-test-acme';

/** One request as a router and a worker would see it, who answer it by hand. */
export interface Asked {
  message: Msg;
  org: string;
  header(name: string): string;
  body: any;
  chunk(json: object | string, more?: { seq?: number; asksAck?: boolean }): void;
  /** Of a whole answer. */
  part(bytes: Uint8Array, place: number, isLast?: boolean): void;
  /** The last message of a stream, or the whole answer. */
  finish(json: object, status?: 'ok' | 'cancelled'): void;
  refuse(refusal: Refusal): void;
}

export interface World {
  url: string;
  port: number;
  edge: HttpEdge;
  config: MeritorderConfig;
  gateway: Bus;
  operator: NatsConnection;
  outcomes: string[];
  /** Requests in the order of their arrival. */
  asked: Asked[];
  cancelled: string[];
  acknowledged: number[];
  /** Answers every request from now on. */
  answer(by: (asked: Asked) => void): void;
  /** Stops the router: nobody listens any more. */
  leave(): Promise<void>;
  stop(): Promise<void>;
}

const away = (): Promise<never> => Promise.reject(new Error('postgres://secret@db is away'));
const NO_DATABASE: CallPorts['idempotency'] = { claim: away, finish: away, abandon: away };

/** A gateway on a real NATS server, with its real rights, and a router played by the test. */
export async function startWorld(
  options: {
    limits?: Record<string, number>;
    corsOrigins?: string[];
    keyLimits?: KeyLimits;
    /** Without it idempotency keys are refused. */
    database?: DataSource;
    /** Without it keys with limits are let through. */
    redisUrl?: string;
    totalMs?: number;
  } = {},
): Promise<World> {
  const servers = testServers();
  const config = parseConfig(
    JSON.stringify({
      version: 1,
      orgs: [
        { id: 'acme', keys: [{ id: 'app', sha256: sha256Hex(KEY), limits: options.keyLimits }] },
        { id: 'globex', keys: [{ id: 'app', sha256: sha256Hex('sk-test-globex') }] },
      ],
      backends: [
        {
          id: 'b',
          kind: 'cloud',
          provider: 'p',
          model: 'm',
          baseUrl: 'http://127.0.0.1:1',
          contextTokens: 9,
          maxOutputTokens: 9,
        },
      ],
      ...(options.limits ? { limits: options.limits } : {}),
      ...(options.corsOrigins ? { gateway: { corsOrigins: options.corsOrigins } } : {}),
    }),
    'test.yaml',
    {},
  );
  const passwords = Object.fromEntries(natsUsers(config).map((u) => [u.user, `pw-${u.user}`]));
  const server = await servers.nats((port, storeDir) =>
    natsServerConfig(natsUsers(config), passwords, { listen: `127.0.0.1:${port}`, storeDir }),
  );
  const busOf = (user: 'gateway' | 'operator'): Promise<Bus> =>
    connectBus({
      url: server.url,
      user,
      password: passwords[user],
      name: user,
      inboxPrefix: SERVICE_INBOX[user],
    });
  const [gateway, operating] = [await busOf('gateway'), await busOf('operator')];
  await ensureTopology(operating, config);
  const operator = operating.nats;
  const keys = await KeyRing.open({ config, bus: gateway, secretOf: () => undefined });
  const asked: Asked[] = [];
  const cancelled: string[] = [];
  const acknowledged: number[] = [];
  const outcomes: string[] = [];
  let answering: ((a: Asked) => void) | undefined;
  const requests = operator.subscribe('inference.request.v1.*', {
    callback: (_e, message) => {
      const one = askedOf(operator, message);
      asked.push(one);
      answering?.(one);
    },
  });
  operator.subscribe('inference.cancel.v1.*.*', { callback: (_e, m) => void cancelled.push(m.subject.split('.')[4]!) });
  operator.subscribe('inference.ack.v1.*.*', { callback: (_e, m) => void acknowledged.push(Number(m.string())) });
  await operator.flush();
  const mostMs = options.totalMs ?? 60_000;
  const inference = new NatsInference(gateway, mostMs, () => {});
  const rateLimits = RedisRateLimits.open(options.redisUrl ?? 'redis://127.0.0.1:1');
  if (options.redisUrl) await waitFor(() => rateLimits.isConnected(), 'Redis');
  const edge = new HttpEdge({
    config,
    limits: config.limits,
    keys,
    ports: {
      inference,
      rateLimits,
      idempotency: options.database
        ? new PostgresIdempotencyStore(options.database, { requestDeadlineMs: mostMs })
        : NO_DATABASE,
      responses: undefined,
      mostBytes: config.limits.bodyBytes,
      mostMs,
      nowMs: () => 0,
    },
    health: { notReady: () => [], scrape: async () => '# nothing' },
    onOutcome: (_org, _kind, outcome) => void outcomes.push(outcome),
    onError: (error) => void outcomes.push(`broken: ${error.message}`),
  });
  await edge.listen('127.0.0.1', 0);
  const { port } = edge.server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    edge,
    config,
    gateway,
    operator,
    outcomes,
    asked,
    cancelled,
    acknowledged,
    answer: (by) => void (answering = by),
    leave: async () => {
      requests.unsubscribe();
      await operator.flush();
    },
    stop: async () => {
      await edge.drain(0);
      keys.close();
      rateLimits.close();
      await gateway.close();
      await operating.close();
      await servers.stop();
    },
  };
}

function askedOf(nats: NatsConnection, message: Msg): Asked {
  const header = (name: string): string => message.headers?.get(name) ?? '';
  const org = message.subject.split('.')[3]!;
  const requestId = header('Meritorder-Request');
  let sent = 0;
  const publish = (body: string | Uint8Array, own: Record<string, string>, reply?: string): void => {
    const h = headers();
    for (const [name, value] of Object.entries({ 'Meritorder-Request': requestId, ...own })) h.set(name, value);
    nats.publish(message.reply!, body, { headers: h, ...(reply ? { reply } : {}) });
  };
  return {
    message,
    org,
    header,
    body: message.json(),
    chunk(json, { seq, asksAck } = {}) {
      const at = seq ?? sent++;
      const start: Record<string, string> =
        at === 0 ? { 'Meritorder-Backend': 'b', 'Meritorder-Attempt-Number': '2' } : {};
      const ack = asksAck ? `inference.ack.v1.${org}.${requestId}` : undefined;
      publish(typeof json === 'string' ? json : JSON.stringify(json), { ...start, 'Meritorder-Seq': String(at) }, ack);
    },
    part(bytes, place, isLast = false) {
      const ack = isLast ? undefined : `inference.ack.v1.${org}.${requestId}`;
      publish(bytes, { 'Meritorder-Part': String(place), ...(isLast ? { 'Meritorder-Status': 'ok' } : {}) }, ack);
    },
    finish(json, status = 'ok') {
      const seq: Record<string, string> = sent > 0 || status === 'cancelled' ? { 'Meritorder-Seq': String(sent) } : {};
      publish(JSON.stringify(json), { ...seq, 'Meritorder-Status': status });
    },
    refuse(refusal) {
      publish(JSON.stringify(errorBody(refusal, requestId)), {
        'Meritorder-Seq': String(sent),
        'Meritorder-Status': 'error',
        'Nats-Service-Error': refusal.code,
      });
    },
  };
}

/** A receipt as short as one can be. */
export const RECEIPT = {
  request_id: 'r',
  backend: 'b',
  attempts: [{}, {}],
  cost: { usd: '0.000412', full_usd: '0.0005', basis: 'confirmed' },
};

export interface Heard {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** HTTP without a client's own ideas. */
export function send(
  { port }: { port: number },
  options: { path?: string; method?: string; headers?: Record<string, string>; body?: string | Buffer; agent?: false },
): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        port,
        host: '127.0.0.1',
        path: options.path ?? '/v1/chat/completions',
        method: options.method ?? 'POST',
        headers: { authorization: `Bearer ${KEY}`, ...options.headers },
        ...(options.agent === undefined ? {} : { agent: options.agent }),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, text: Buffer.concat(parts).toString() }),
        );
      },
    );
    call.on('error', reject);
    call.end(options.body);
  });
}
