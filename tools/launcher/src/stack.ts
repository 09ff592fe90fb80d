import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { connect, type Authenticator, type NatsConnection, type TlsOptions } from '@nats-io/transport-node';
import { natsPasswords, newestPassword, writeNatsConfig, type NatsPasswords } from '@meritorder/cli';
import { loadConfig, orgInboxPrefix, type MeritorderConfig } from '@meritorder/contracts';
import { Counters } from '@meritorder/counters';
import { migrate } from '@meritorder/ledger-store';
import {
  authenticatorOf,
  connectBus,
  ensureTopology,
  hostUser,
  natsCredentials,
  natsTls,
  orgUser,
  SERVICE_ACCOUNT,
  SERVICE_INBOX,
  type NatsCredentials,
} from '@meritorder/messaging';
import {
  freePort,
  startNats,
  startPostgres,
  startRedis,
  UNSAFE_POSTGRES,
  type RunningServer,
} from '@meritorder/testing';
import { withoutPassword } from './settings.js';

export const WORKSPACE = resolve(import.meta.dirname, '../../..');

export type ServiceName = 'gateway' | 'router' | 'provider-worker' | 'local-worker' | 'metering' | 'budget-policy';

export interface StackOptions {
  configFile: string;
  dataDir: string;
  cacheDir: string;
  log: (line: string) => void;
  /** 0: any free port. */
  ports?: { nats?: number; redis?: number; postgres?: number; gateway?: number };
  /** Instances of each service; default one, and one local-worker per host of the configuration. */
  instances?: Partial<Record<ServiceName, number>>;
  /** Servers that exist already. */
  external?: {
    nats?: string | undefined;
    redis?: string | undefined;
    database?: string | undefined;
    natsSecrets?: string | undefined;
  };
  /** Environment of the services. */
  env?: Record<string, string>;
  /** Faster and unsafe against a power cut: for tests. */
  unsafe?: boolean;
  /** Starts a service again when it ends by itself. */
  supervise?: boolean;
}

export interface ServiceProcess {
  name: ServiceName;
  index: number;
  child: ChildProcess;
  healthPort: number;
  logFile: string;
  /** Where in the file its own lines begin. */
  logStart: number;
  /** It has ended, and the file holds all that it said. */
  ended: Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
/** What a service takes beyond `limits.drainMs` until it has left. */
const LEAVES_WITHIN_MS = 5_000;

/** The whole product on this machine: servers, schema, streams and service processes. */
export class Stack {
  readonly config: MeritorderConfig;
  readonly services: ServiceProcess[] = [];
  nats!: { url: string; server?: RunningServer };
  redis!: { url: string; server?: RunningServer };
  database!: { url: string; server?: RunningServer };
  passwords: NatsPasswords | undefined;
  /** All services were ready once: from then on a service that ends is started again. */
  private started = false;
  private stopping = false;

  constructor(readonly options: StackOptions) {
    this.config = loadConfig(options.configFile);
  }

  /** @throws Error with one line that says what is wrong and what to do; whatever was started is stopped again. */
  async start(): Promise<void> {
    try {
      await this.startServers();
      await this.prepare();
      await this.startServices();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async startServers(): Promise<void> {
    const { dataDir, cacheDir, log, ports, external, unsafe } = this.options;
    mkdirSync(dataDir, { recursive: true });
    // Postgres may have to run as another user, who must be able to come here.
    chmodSync(dataDir, 0o755);
    const common = { cacheDir, log };
    adoptStreams(join(dataDir, 'nats', 'jetstream', 'jetstream'));
    const secrets = external?.nats ? external.natsSecrets : join(dataDir, 'nats', 'secrets.json');
    this.passwords = secrets === undefined ? undefined : natsPasswords(this.config, secrets);
    const generated = join(dataDir, 'nats', 'generated');
    // The server runs on what `meritorder nats-config` writes again, so that a rotation is that command and a reload.
    if (!external?.nats)
      writeNatsConfig(this.config, generated, secrets!, {
        listen: `127.0.0.1:${ports?.nats ?? 0}`,
        storeDir: join(dataDir, 'nats', 'jetstream'),
      });
    const started = await Promise.allSettled([
      external?.nats
        ? undefined
        : startNats({
            ...common,
            dataDir: join(dataDir, 'nats'),
            port: ports?.nats,
            configFile: join(generated, 'nats.conf'),
          }),
      external?.redis
        ? undefined
        : startRedis({
            ...common,
            dataDir: join(dataDir, 'redis'),
            port: ports?.redis,
            args: unsafe ? [] : ['--appendonly', 'yes'],
          }),
      external?.database
        ? undefined
        : startPostgres({
            ...common,
            dataDir: join(dataDir, 'postgres'),
            port: ports?.postgres,
            database: 'meritorder',
            args: unsafe ? UNSAFE_POSTGRES : [],
          }),
    ]);
    const [nats, redis, postgres] = started.map((s) => (s.status === 'fulfilled' ? s.value : undefined));
    this.nats = { url: external?.nats ?? nats?.url ?? '', ...(nats ? { server: nats } : {}) };
    this.redis = { url: external?.redis ?? redis?.url ?? '', ...(redis ? { server: redis } : {}) };
    this.database = { url: external?.database ?? postgres?.url ?? '', ...(postgres ? { server: postgres } : {}) };
    const failed = started.find((s) => s.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Schema, streams, buckets and consumers. @throws Error with one line that names the server that cannot be used. */
  async prepare(): Promise<void> {
    const run = await migrate(this.database.url);
    if (run.length > 0) this.options.log(`the database schema is new: ${run.join(', ')}`);
    await (await Counters.connect(this.redis.url)).close();
    const bus = await connectBus({
      url: this.nats.url,
      credentials: () => this.credentialsOf('operator'),
      tls: this.tls(),
      name: 'launcher',
      inboxPrefix: SERVICE_INBOX.operator,
    });
    try {
      await ensureTopology(bus, this.config);
    } catch (error) {
      throw new Error(
        `cannot make streams at ${withoutPassword(this.nats.url)}: ${(error as Error).message}; does its NATS run with JetStream (-js)?`,
      );
    } finally {
      await bus.close();
    }
  }

  async startServices(): Promise<void> {
    const { instances } = this.options;
    const hosts = [...new Set(this.config.backends.flatMap((b) => b.host ?? []))];
    const hasCloud = this.config.backends.some((b) => b.kind === 'cloud');
    const plan: [ServiceName, number, Record<string, string>][] = [];
    const add = (name: ServiceName, env: Record<string, string> = {}): void => {
      for (let i = 0; i < (instances?.[name] ?? 1); i++) plan.push([name, i, env]);
    };
    add('metering');
    add('budget-policy');
    add('router');
    add('gateway');
    if (hasCloud) add('provider-worker');
    for (const host of hosts) add('local-worker', { MERITORDER_HOST: host });
    await Promise.all(plan.map(([name, index, env]) => this.startService(name, index, env)));
    this.started = true;
  }

  /** Starts one instance and waits until it is ready. */
  async startService(name: ServiceName, index: number, extraEnv: Record<string, string> = {}): Promise<ServiceProcess> {
    const { dataDir, configFile, env, supervise, log } = this.options;
    // A gateway answers /health where it answers everything else. Those after the first take any port.
    const healthPort = (name === 'gateway' && index === 0 && this.options.ports?.gateway) || (await freePort());
    mkdirSync(join(dataDir, 'logs'), { recursive: true });
    const logFile = join(dataDir, 'logs', `${name}-${index}.log`);
    const logStart = existsSync(logFile) ? statSync(logFile).size : 0;
    const output = createWriteStream(logFile, { flags: 'a' });
    const needsDatabase = name === 'gateway' || name === 'metering' || name === 'budget-policy';
    const needsRedis = needsDatabase || name === 'router';
    const host = extraEnv['MERITORDER_HOST'];
    const user = name === 'local-worker' && host ? hostUser(host) : name;
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', join(WORKSPACE, 'services', name, 'dist', 'main.js')],
      {
        // A group of its own: Ctrl-C in the terminal reaches the launcher alone.
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
        env: {
          ...baseEnv(),
          ...env,
          ...extraEnv,
          MERITORDER_CONFIG: configFile,
          MERITORDER_PARENT_PIPE: '1',
          ...(name === 'gateway' ? { GATEWAY_PORT: String(healthPort) } : { HEALTH_PORT: String(healthPort) }),
          NATS_URL: this.nats.url,
          ...this.credentialsEnvironment(user),
          ...(needsRedis ? { REDIS_URL: this.redis.url } : {}),
          ...(needsDatabase ? { DATABASE_URL: this.database.url } : {}),
        },
      },
    );
    child.stdin!.on('error', () => {});
    child.stdout!.pipe(output, { end: false });
    child.stderr!.pipe(output, { end: false });
    // Not at its exit: what it said last is still on its way then.
    const ended = once(child, 'close').then(() => new Promise<void>((resolve) => output.end(resolve)));
    const service: ServiceProcess = { name, index, child, healthPort, logFile, logStart, ended };
    this.services.push(service);
    child.once('exit', (code, signal) => {
      this.services.splice(this.services.indexOf(service), 1);
      if (!supervise || !this.started || this.stopping) return;
      log(`${name} ended (${signal ?? code}), starting it again; see ${logFile}`);
      setTimeout(() => void this.startService(name, index, extraEnv).catch((error: Error) => log(error.message)), 500);
    });
    await this.waitReady(service);
    return service;
  }

  /** Base URL of the first gateway, without a path. @throws Error when none runs. */
  get gatewayUrl(): string {
    const gateway = this.of('gateway').find((s) => s.index === 0);
    if (!gateway) throw new Error('no gateway is running');
    return `http://127.0.0.1:${gateway.healthPort}`;
  }

  /** The processes of a service. */
  of(name: ServiceName): ServiceProcess[] {
    return this.services.filter((s) => s.name === name);
  }

  async connectOperator(): Promise<NatsConnection> {
    return connect({
      servers: this.nats.url,
      ...this.credentials('operator'),
      inboxPrefix: SERVICE_INBOX.operator,
      name: 'operator',
    });
  }

  async connectOrg(org: string): Promise<NatsConnection> {
    return connect({
      servers: this.nats.url,
      ...this.credentials(orgUser(org)),
      inboxPrefix: orgInboxPrefix(org),
      name: `app-${org}`,
    });
  }

  /** Options of a connection as a user. */
  credentials(user: string): { authenticator: Authenticator; tls?: TlsOptions } {
    const tls = this.tls();
    return { authenticator: authenticatorOf(() => this.credentialsOf(user)), ...(tls ? { tls } : {}) };
  }

  /** As the services connect: by the same variables. */
  private tls(): TlsOptions | undefined {
    return natsTls({ ...process.env, ...this.options.env, NATS_URL: this.nats.url });
  }

  /** How a user connects: by its newest password, or by the seed of its NKey in `<data>/nats/seeds/<user>`. */
  private credentialsOf(user: string): NatsCredentials {
    if (!this.passwords) return {};
    return newestPassword(this.passwords, user) ?? natsCredentials({ NATS_NKEY_SEED_FILE: this.seedFile(user) });
  }

  /** The same for a process; files where there are some, which it reads again when it is refused. */
  credentialsEnvironment(user: string): Record<string, string> {
    if (!this.passwords) return {};
    const newest = newestPassword(this.passwords, user);
    if (!newest) return { NATS_NKEY_SEED_FILE: this.seedFile(user) };
    if (this.options.external?.nats) return { NATS_USER: newest.user, NATS_PASSWORD: newest.password };
    const folder = join(this.options.dataDir, 'nats', 'generated');
    return { NATS_USER_FILE: join(folder, 'users', user), NATS_PASSWORD_FILE: join(folder, 'passwords', user) };
  }

  private seedFile(user: string): string {
    return join(this.options.dataDir, 'nats', 'seeds', user);
  }

  /** Stops services, then servers. */
  async stop(): Promise<void> {
    this.stopping = true;
    const limitMs = this.config.limits.drainMs + LEAVES_WITHIN_MS;
    await Promise.all(this.services.map((s) => stopChild(s.child, limitMs)));
    await Promise.all([this.nats?.server?.stop(), this.redis?.server?.stop(), this.database?.server?.stop()]);
  }

  private async waitReady(service: ServiceProcess): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (service.child.exitCode !== null || service.child.signalCode !== null) {
        await service.ended;
        throw new Error(`${service.name} ended at its start: ${reasonOf(service)}; see ${service.logFile}`);
      }
      const ready = await fetch(`http://127.0.0.1:${service.healthPort}/health/ready`).then(
        (r) => r.ok,
        () => false,
      );
      if (ready) return;
      await new Promise((r) => setTimeout(r, 50));
    }
    throw new Error(`${service.name} was not ready within ${READY_TIMEOUT_MS / 1000} s; see ${service.logFile}`);
  }
}

export async function stopChild(child: ChildProcess, limitMs = 30_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((r) => child.once('exit', r));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  await exited;
  clearTimeout(timer);
}

/** The one line with which a service says why it cannot start, or the end of what it wrote. */
function reasonOf({ name, logFile, logStart }: ServiceProcess): string {
  const said = readFileSync(logFile).subarray(logStart).toString('utf8').trim().split('\n');
  const prefix = `meritorder ${name}: `;
  const why = said.findLast((line) => line.startsWith(prefix));
  return why?.slice(prefix.length) ?? (said.slice(-3).join(' | ') || 'it printed nothing');
}

/** Nothing of npm's own environment reaches a service. */
/** Streams of the time before services had an account of their own; a server that does not run may have them moved. */
function adoptStreams(store: string): void {
  const [before, now] = [join(store, '$G'), join(store, SERVICE_ACCOUNT)];
  if (existsSync(before) && !existsSync(now)) renameSync(before, now);
}

function baseEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => value !== undefined && !/^npm_/i.test(name)),
  ) as Record<string, string>;
}

/** Writes a configuration for a stack that a program makes up. */
export function writeConfig(dir: string, config: object): string {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'meritorder.yaml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config, null, 2));
  return file;
}
