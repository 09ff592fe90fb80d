import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findServer, type FindOptions } from './find-server.js';
import { assertPortFree, freePort, launch, waitForPort, type ServerProcess } from './server-process.js';

export interface RunningServer {
  url: string;
  port: number;
  process: ServerProcess;
  stop(): Promise<void>;
}

export interface StartOptions extends FindOptions {
  dataDir: string;
  /** 0 or undefined: any free port. */
  port?: number | undefined;
}

async function portFor(options: StartOptions, what: string, setting: string): Promise<number> {
  if (!options.port) return freePort();
  await assertPortFree(options.port, what, setting);
  return options.port;
}

export async function startNats(
  options: StartOptions & { config?: (port: number, storeDir: string) => string },
): Promise<RunningServer> {
  const binary = await findServer('nats', options);
  const port = await portFor(options, 'NATS', 'MERITORDER_NATS_PORT');
  mkdirSync(options.dataDir, { recursive: true });
  const storeDir = join(options.dataDir, 'jetstream');
  const file = join(options.dataDir, 'nats.conf');
  const text =
    options.config?.(port, storeDir) ??
    `listen: "127.0.0.1:${port}"\nmax_payload: 8388608\njetstream { store_dir: ${JSON.stringify(storeDir)} }\n`;
  writeFileSync(file, text, { mode: 0o600 });
  const logFile = join(options.dataDir, 'nats.log');
  const server = launch({ command: binary.path, args: ['-c', file], env: binary.env, logFile, stopSignal: 'TERM' });
  await waitForPort(port, server, 'nats-server', logFile);
  return { url: `nats://127.0.0.1:${port}`, port, process: server, stop: () => server.stop() };
}

export async function startRedis(options: StartOptions & { args?: string[] }): Promise<RunningServer> {
  const binary = await findServer('redis', options);
  const port = await portFor(options, 'Redis', 'MERITORDER_REDIS_PORT');
  mkdirSync(options.dataDir, { recursive: true });
  const logFile = join(options.dataDir, 'redis.log');
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    options.dataDir,
    '--maxmemory-policy',
    'noeviction',
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const server = launch({
    command: binary.path,
    args: [...args, ...(options.args ?? [])],
    env: binary.env,
    logFile,
    stopSignal: 'TERM',
  });
  await waitForPort(port, server, 'redis-server', logFile);
  return { url: `redis://127.0.0.1:${port}`, port, process: server, stop: () => server.stop() };
}

/** Fast but unsafe settings, for tests. */
export const UNSAFE_POSTGRES = ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'synchronous_commit=off'];

export async function startPostgres(
  options: StartOptions & { args?: string[]; database: string },
): Promise<RunningServer> {
  const binary = await findServer('postgres', options);
  const port = await portFor(options, 'Postgres', 'MERITORDER_POSTGRES_PORT');
  const owner = postgresOwner();
  const dataDir = owner ? reachableFolder(options.dataDir, owner, options.log) : options.dataDir;
  const data = join(dataDir, 'pgdata');
  mkdirSync(dataDir, { recursive: true });
  if (owner) chownSync(dataDir, owner.uid, owner.gid);
  const logFile = join(dataDir, 'postgres.log');
  const as = owner ? { uid: owner.uid, gid: owner.gid } : {};
  const env = { LC_ALL: 'C', PGDATA: data, HOME: dataDir, ...binary.env };
  if (!existsSync(join(data, 'PG_VERSION'))) {
    options.log('creating the Postgres data folder');
    try {
      execFileSync(
        join(binary.path, 'initdb'),
        ['-D', data, '-U', 'meritorder', '--auth=trust', '-E', 'UTF8', '--no-sync'],
        {
          env: { ...process.env, ...env },
          stdio: ['ignore', 'ignore', 'pipe'],
          cwd: dataDir,
          ...as,
        },
      );
    } catch (error) {
      const text = String((error as { stderr?: Buffer }).stderr ?? (error as Error).message)
        .trim()
        .split('\n')
        .at(-1);
      throw new Error(`initdb failed: ${text}; the folder ${dataDir} must be reachable by the user who runs Postgres`);
    }
  }
  const server = launch({
    command: join(binary.path, 'postgres'),
    args: [
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=`,
      '-c',
      'max_connections=200',
      ...(options.args ?? []),
    ],
    env,
    logFile,
    // INT is Postgres' fast shutdown; TERM waits for clients.
    stopSignal: 'INT',
    cwd: dataDir,
    ...as,
  });
  await waitForPort(port, server, 'postgres', logFile);
  const url = `postgres://meritorder@127.0.0.1:${port}/${options.database}`;
  await ensureDatabase(port, options.database);
  return { url, port, process: server, stop: () => server.stop() };
}

export async function ensureDatabase(port: number, database: string): Promise<void> {
  const { default: pg } = await import('pg');
  for (let attempt = 0; ; attempt++) {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'meritorder', database: 'postgres' });
    try {
      await client.connect();
      const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
      if (!rowCount) await client.query(`create database "${database.replaceAll('"', '')}"`);
      return;
    } catch (error) {
      // "starting up" right after the port opened.
      if (attempt > 100) throw error;
      await new Promise((r) => setTimeout(r, 50));
    } finally {
      await client.end().catch(() => {});
    }
  }
}

/**
 * A folder that the user who runs Postgres can enter: the wanted one, or, below a folder that only root can enter (a clone in
 * /root), one in /var/tmp that belongs to it by name.
 */
function reachableFolder(wanted: string, owner: { uid: number; gid: number }, log: (line: string) => void): string {
  mkdirSync(wanted, { recursive: true });
  try {
    execFileSync('test', ['-x', wanted], { ...owner, stdio: 'ignore', cwd: '/' });
    return wanted;
  } catch {
    const folder = join(
      '/var/tmp',
      `meritorder-postgres-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`,
    );
    log(`the user who runs Postgres cannot enter ${wanted}; its data is in ${folder}`);
    mkdirSync(folder, { recursive: true });
    return folder;
  }
}

/** Postgres refuses to run as root: then it runs as `postgres` or `nobody`. */
function postgresOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ['postgres', 'nobody']) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, user], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      continue;
    }
  }
  throw new Error(
    'Postgres refuses to run as root and this machine has neither a user postgres nor nobody; start as an ordinary user, or set DATABASE_URL',
  );
}
