import { afterAll, beforeAll } from 'vitest';
import { Logger, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { orgInboxPrefix, type KeysReply, type KeysRequest, type MeritorderConfig } from '@meritorder/contracts';
import { connectDatabase, migrate } from '@meritorder/ledger-store';
import {
  connectBus,
  ensureTopology,
  ISSUING_KEYS,
  natsServerConfig,
  natsUsers,
  SERVICE_INBOX,
  type Bus,
  type NatsUser,
} from '@meritorder/messaging';
import { NatsSubjectServer } from '@meritorder/service-kit';
import { waitFor } from '@meritorder/testing';
import { useNats, usePostgres } from '@meritorder/testing/vitest';
import type { DataSource } from 'typeorm';
import { KeyRing, type KeyRingOptions } from '../keys/key-ring.js';
import { keyIssuing } from './key-issuing.js';
import { KeyPublisher } from './key-publisher.js';

export const config = {
  orgs: [
    {
      id: 'acme',
      departments: ['eng', 'support'],
      keys: [{ id: 'old', secretEnv: 'ACME_KEY', department: 'eng' }],
      subscribers: [],
    },
    { id: 'globex', departments: [], keys: [], routes: ['auto'], subscribers: [] },
  ],
  routes: [{ id: 'auto' }],
  backends: [{ id: 'b' }],
  tiers: [{ id: 'gold', orgs: ['acme'] }],
} as unknown as MeritorderConfig;

const ISSUER_INBOX = '_INBOX_issuer';
/** Who issues has these permissions and no other; who accepts keys is the router; orgs are orgs. */
const USERS: NatsUser[] = [
  ...natsUsers(config),
  {
    user: 'issuer',
    publish: [...ISSUING_KEYS.publish],
    subscribe: [`${ISSUER_INBOX}.>`, ...ISSUING_KEYS.subscribe],
  },
];
const INBOXES: Record<string, string> = {
  issuer: ISSUER_INBOX,
  router: SERVICE_INBOX.router,
  operator: SERVICE_INBOX.operator,
};

/** A service that issues keys, on real servers. */
export interface Issuer {
  bus: Bus;
  publisher: KeyPublisher;
  notReady(): string[];
  stop(): Promise<void>;
}

/** NATS, Postgres and two issuers, as two gateways would be, for this test file. */
export function useIssuers(): {
  nats: ReturnType<typeof useNats>;
  database(): DataSource;
  issuers: Issuer[];
  ask(request: KeysRequest): Promise<KeysReply>;
  /** A connection of its own, as each process has; as the operator, unless another user is named. */
  bus(user?: string): Promise<Bus>;
  ring(options?: Partial<KeyRingOptions>): Promise<KeyRing>;
} {
  const passwords = Object.fromEntries(USERS.map(({ user }) => [user, `${user}-password`]));
  const nats = useNats({
    config: (port, storeDir) => natsServerConfig(USERS, passwords, { listen: `127.0.0.1:${port}`, storeDir }),
  });
  const postgres = usePostgres();
  const buses: Bus[] = [];
  const rings: KeyRing[] = [];
  const issuers: Issuer[] = [];
  let database: DataSource;
  let operator: Bus;

  const bus = async (user = 'operator'): Promise<Bus> => {
    const inboxPrefix = INBOXES[user] ?? orgInboxPrefix(user.slice('org-'.length));
    const opened = await connectBus({ url: nats.url, user, password: passwords[user], name: user, inboxPrefix });
    buses.push(opened);
    return opened;
  };
  beforeAll(async () => {
    await migrate(postgres.url);
    database = await connectDatabase(postgres.url, 'access-test');
    operator = await bus();
    await ensureTopology(operator, config);
    for (let i = 0; i < 2; i++) issuers.push(await startIssuer(await bus('issuer'), database));
  });
  afterAll(async () => {
    for (const ring of rings) ring.close();
    await Promise.all(issuers.map((issuer) => issuer.stop()));
    await Promise.all(buses.map((b) => b.close()));
    await database?.destroy();
  });
  return {
    nats,
    database: () => database,
    issuers,
    bus,
    async ask(request) {
      return (await operator.nats.request('access.keys.v1', JSON.stringify(request), { timeout: 10_000 })).json();
    },
    async ring(options = {}) {
      const ring = await KeyRing.open({
        config,
        bus: options.bus ?? (await bus('router')),
        secretOf: (name) => (name === 'ACME_KEY' ? 'the-configured-one' : undefined),
        checkEveryMs: 50,
        ...options,
      });
      rings.push(ring);
      return ring;
    },
  };
}

async function startIssuer(bus: Bus, database: DataSource): Promise<Issuer> {
  const checks: (() => string | undefined)[] = [];
  const issuing = keyIssuing({ config, bus, readiness: (check) => checks.push(check) }, database);
  const module = { module: class TestModule {}, ...issuing };
  const app: INestMicroservice = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    strategy: new NatsSubjectServer(bus, 'gateway'),
    logger: false,
  });
  Logger.overrideLogger(false);
  await app.listen();
  const notReady = (): string[] => checks.map((check) => check()).filter((problem) => problem !== undefined);
  await waitFor(() => notReady().length === 0, 'the bucket to be compared with the database');
  return { bus, notReady, publisher: app.get(KeyPublisher), stop: () => app.close() };
}
