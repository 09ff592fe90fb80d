import { execFile } from 'node:child_process';
import { chownSync, existsSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { runs } from './data-folder.js';
import { ensureDatabase } from './database.js';
import { findServer, type ServerBinary } from './find-server.js';
import { binaryFor, folderFor, postgresUser } from './postgres-user.js';
import { startServer, type RunningServer, type StartOptions } from './running-server.js';
import type { User } from './server-process.js';

const run = promisify(execFile);

export interface PostgresOptions extends StartOptions {
  /** Made when it does not exist. */
  database: string;
  /** The owner of everything. Default `meritorder`. */
  user?: string | undefined;
  /** Asked for from the first start of a data folder on. Without it everybody on this machine may connect. */
  password?: string | undefined;
  /** More arguments of the server, as `['-c', 'work_mem=8MB']`. */
  args?: string[] | undefined;
}

export interface RunningPostgres extends RunningServer {
  /** Another database on the same server; made when it does not exist. Returns its URL. */
  createDatabase(name: string): Promise<string>;
}

/**
 * Fast but unsafe against a power cut: for tests. `synchronous_commit` stays on: without it a kill -9 of the server loses
 * commits that were acknowledged (78 of 500 when tried), which a test would take for money lost; it saves nothing without fsync.
 */
export const UNSAFE_POSTGRES = ['-c', 'fsync=off', '-c', 'full_page_writes=off'];

/** With glibc and musl this sorts by code point and knows letters beyond ASCII; other systems lack it. */
const LOCALE = process.platform === 'linux' ? 'C.UTF-8' : 'C';

const MAX_CONNECTIONS = 200;

/** @throws Error with one line. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const user = postgresUser();
  const binary = binaryFor(user, await findServer('postgres', options));
  const role = options.user ?? 'meritorder';
  const dataDir = folderFor(user, resolve(options.dataDir), options.log);
  const data = join(dataDir, 'pgdata');
  const url = (port: number, database = options.database): string => {
    const secret = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}`;
    return `postgres://${encodeURIComponent(role)}${secret}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
  };
  const server = await startServer({
    name: 'Postgres',
    portSetting: 'MERITORDER_POSTGRES_PORT',
    dataDir,
    logFile: join(dataDir, 'postgres.log'),
    port: options.port,
    url,
    async prepare(port) {
      if (!existsSync(join(data, 'PG_VERSION'))) {
        options.log('creating the Postgres data folder');
        const sync = !(options.args ?? []).includes('fsync=off');
        await createCluster({ binary, dataDir, data, role, password: options.password, user, sync });
      }
      forgetDeadPostmaster(data);
      const settings = [`listen_addresses=127.0.0.1`, 'unix_socket_directories=', `max_connections=${MAX_CONNECTIONS}`];
      return {
        command: join(binary.path, 'postgres'),
        args: ['-D', data, '-p', String(port), ...settings.flatMap((s) => ['-c', s]), ...(options.args ?? [])],
        env: { LANG: LOCALE, HOME: dataDir, ...binary.env },
        // INT is Postgres' fast shutdown; TERM waits for clients.
        stopSignal: 'INT',
        cwd: dataDir,
        user,
      };
    },
    isReady: (_port, pid) => {
      const state = postmaster(data);
      return state?.pid === pid && state.status === 'ready';
    },
    // Connections of a server that was killed take a moment to see it.
    transient: /pre-existing shared memory block/,
  });
  const createDatabase = async (name: string): Promise<string> => {
    await ensureDatabase(server.port, name, { user: role, password: options.password, dataDir });
    return url(server.port, name);
  };
  try {
    await createDatabase(options.database);
  } catch (error) {
    await server.stop();
    throw error;
  }
  // Its accessors, not their values: pid and process change with a restart.
  return Object.defineProperty(server, 'createDatabase', {
    value: createDatabase,
    enumerable: true,
  }) as RunningPostgres;
}

interface Cluster {
  binary: ServerBinary;
  dataDir: string;
  data: string;
  role: string;
  password: string | undefined;
  user: User | undefined;
  /** Whether the new folder must survive a power cut. */
  sync: boolean;
}

/** Beside, then renamed: a folder that was half made is never taken for a whole one. */
async function createCluster({ binary, dataDir, data, role, password, user, sync }: Cluster): Promise<void> {
  const unfinished = `${data}.unfinished`;
  const passwordFile = join(dataDir, 'initdb.password');
  rmSync(unfinished, { recursive: true, force: true });
  const auth = password === undefined ? ['--auth=trust'] : ['--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  const speed = sync ? [] : ['--no-sync'];
  try {
    if (password !== undefined) {
      writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
      if (user) chownSync(passwordFile, user.uid, user.gid);
    }
    await run(
      join(binary.path, 'initdb'),
      ['-D', unfinished, '-U', role, '-E', 'UTF8', `--locale=${LOCALE}`, ...auth, ...speed],
      {
        env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: LOCALE, HOME: dataDir, ...binary.env },
        cwd: dataDir,
        ...user,
      },
    );
    renameSync(unfinished, data);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const said = (stderr || message).trim().split('\n');
    throw new Error(
      `initdb failed: ${said.find((line) => /error|fatal/i.test(line)) ?? said.at(-1)}; its folder is ${data}`,
    );
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** What a server writes about itself: line 1 its pid, line 8 its state. */
function postmaster(data: string): { pid: number; status: string | undefined } | undefined {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Number(lines[0]), status: lines[7]?.trim() };
  } catch {
    return undefined;
  }
}

/**
 * Postgres does not start when the pid that a crashed server left behind has been given to another process of the same user.
 * @throws Error when it is a Postgres that runs on this folder.
 */
function forgetDeadPostmaster(data: string): void {
  const left = postmaster(data);
  if (!left) return;
  if (runs(left.pid, 'postgres') && workingFolder(left.pid, data) === data) {
    throw new Error(`the data folder ${data} is in use by postgres (process ${left.pid}); stop that first`);
  }
  rmSync(join(data, 'postmaster.pid'), { force: true });
}

/** A Postgres stands in its data folder. Where that cannot be seen, `unknown`. */
function workingFolder(pid: number, unknown: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return unknown;
  }
}
