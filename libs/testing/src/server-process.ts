import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { dirname } from 'node:path';

/**
 * Runs a server so that it ends when this process ends, even by kill -9: the shell that starts it reads a pipe from us and
 * takes the server down at its end. In a group of its own, so that Ctrl-C reaches only us.
 */
const GUARD =
  'trap "" INT; sig="$1"; shift; "$@" <&- & child=$!; trap "kill -$sig $child" TERM; ' +
  '( cat <&3 >/dev/null; kill -"$sig" $child 2>/dev/null; sleep 5; kill -9 $child 2>/dev/null ) & guard=$!; ' +
  'wait $child; status=$?; while kill -0 $child 2>/dev/null; do wait $child; status=$?; done; kill $guard 2>/dev/null; exit $status';

export interface ServerProcess {
  readonly pid: number;
  /** Asks it to end and waits; kills it after ten seconds. */
  stop(): Promise<void>;
  /** kill -9 of the server itself. */
  kill(): Promise<void>;
  exited: Promise<number | null>;
  hasExited(): boolean;
}

export interface LaunchOptions {
  command: string;
  args: string[];
  env: Record<string, string>;
  logFile: string;
  stopSignal: 'TERM' | 'INT';
  uid?: number | undefined;
  gid?: number | undefined;
  cwd?: string | undefined;
}

export function launch(options: LaunchOptions): ServerProcess {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = createWriteStream(options.logFile, { flags: 'a' });
  const child: ChildProcess = spawn(
    'sh',
    ['-c', `exec 3<&0; ${GUARD}`, 'sh', options.stopSignal, options.command, ...options.args],
    {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
    },
  );
  child.stdout!.pipe(log, { end: false });
  child.stderr!.pipe(log, { end: false });
  child.stdin!.on('error', () => {});
  let done = false;
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      done = true;
      log.end();
      resolve(code);
    });
  });
  const group = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal);
    } catch {
      // It has gone already.
    }
  };
  return {
    pid: child.pid!,
    exited,
    hasExited: () => done,
    async stop() {
      if (done) return;
      child.stdin!.end();
      const timer = setTimeout(() => group('SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    },
    async kill() {
      group('SIGKILL');
      await exited;
    },
  };
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** @throws Error naming the port and what to set instead. */
export async function assertPortFree(port: number, what: string, setting: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`port ${port} for ${what} is in use; set ${setting} to another port`)
          : error,
      ),
    );
    server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
  });
}

/** Waits until something accepts connections. @throws Error with the end of the log when the server ended instead. */
export async function waitForPort(
  port: number,
  server: ServerProcess,
  what: string,
  logFile: string,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    if (server.hasExited()) throw new Error(`${what} ended at its start: ${lastLines(logFile)}`);
    if (await accepts(port)) return;
    await new Promise((r) => setTimeout(r, 25));
  }
  await server.stop();
  throw new Error(`${what} did not answer on port ${port} within ${timeoutMs / 1000} s; see ${logFile}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function lastLines(file: string, count = 3): string {
  if (!existsSync(file)) return 'no log';
  return readFileSync(file, 'utf8').trim().split('\n').slice(-count).join(' | ').slice(-600);
}
