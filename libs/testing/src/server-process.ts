import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/**
 * Runs a server so that it ends when this process ends, even by kill -9: descriptor 0 is a pipe whose other end only we hold,
 * and its end makes the guard take the server down. The shell writes the server's own pid to descriptor 3 and then only waits.
 * A SIGTERM or SIGHUP for everybody (a service manager, a closed terminal) must not take shell and guard away before the
 * server has ended; the shell catches and does not ignore them, since what it ignores would stay ignored in the server.
 * Every process is waited for by its parent: in a container nobody else may do it.
 */
const SUPERVISOR = `
exec 4<&0 </dev/null
signal=$1; limit=$2; shift 2
trap : TERM HUP
"$@" 3>&- 4<&- &
server=$!
echo $server >&3
exec 3>&-
(
  trap '' TERM HUP
  while read -r _ <&4; do :; done
  timer=
  trap '[ -z "$timer" ] || { kill -KILL $timer; wait $timer; }; exit 0' USR1
  kill -"$signal" $server
  sleep "$limit" & timer=$!
  wait $timer
  kill -KILL $server
) 2>/dev/null &
guard=$!
exec 4<&-
while :; do
  wait $server; status=$?
  kill -0 $server 2>/dev/null || break
done
{ kill -USR1 $guard; wait $guard; } 2>/dev/null
exit $status
`;

/** Postgres writes a checkpoint before it ends, which takes a while on a slow disk. */
const STOP_LIMIT_MS = 30_000;

export interface ServerProcess {
  /** Of the server itself, not of the shell that guards it. */
  readonly pid: number;
  /** Asks it to end and waits; kills it after 30 seconds. */
  stop(): Promise<void>;
  /** kill -9 of the server itself; returns when it has gone. */
  kill(): Promise<void>;
  readonly exited: Promise<number | null>;
  hasExited(): boolean;
}

export interface User {
  uid: number;
  gid: number;
}

export interface LaunchOptions {
  command: string;
  args: string[];
  /** The whole environment beside PATH: nothing of ours (PG*, npm's, secrets) reaches a server by accident. */
  env: Record<string, string>;
  /** What it prints is appended here, by itself: its output must outlive us. */
  logFile: string;
  stopSignal: 'TERM' | 'INT';
  user?: User | undefined;
  cwd?: string | undefined;
}

/** @throws Error when the shell cannot run; a server that ends at once is seen by `exited`. */
export async function launch(options: LaunchOptions): Promise<ServerProcess> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a', 0o640);
  const limit = String(STOP_LIMIT_MS / 1000);
  const shell = spawn('sh', ['-c', SUPERVISOR, 'sh', options.stopSignal, limit, options.command, ...options.args], {
    // A session of its own: Ctrl-C in the terminal reaches only us, and we decide when servers end.
    detached: true,
    stdio: ['pipe', log, log, 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...options.env },
    cwd: options.cwd,
    ...options.user,
  });
  closeSync(log);
  const lifeline = shell.stdin as Writable;
  lifeline.on('error', () => {});
  let done = false;
  const exited = new Promise<number | null>((resolve) => {
    const end = (code: number | null): void => {
      done = true;
      lifeline.destroy();
      resolve(code);
    };
    shell.once('exit', end);
    shell.once('error', () => end(null));
  });
  const started = new Promise<void>((resolve, reject) => {
    shell.once('spawn', resolve);
    shell.once('error', (error) => reject(new Error(`cannot start ${options.command}: ${error.message}`)));
  });
  await started;
  const pid = await readPid(shell.stdio[3] as Readable);
  const signalServer = (signal: NodeJS.Signals): void => {
    try {
      if (!done && pid > 0) process.kill(pid, signal);
    } catch {
      // It has gone already.
    }
  };
  return {
    pid,
    exited,
    hasExited: () => done,
    async stop() {
      lifeline.end();
      // The guard does this too; it may have been killed.
      const timer = setTimeout(() => signalServer('SIGKILL'), STOP_LIMIT_MS + 1_000);
      await exited;
      clearTimeout(timer);
    },
    async kill() {
      signalServer('SIGKILL');
      await exited;
    },
  };
}

async function readPid(pipe: Readable): Promise<number> {
  let text = '';
  for await (const chunk of pipe) text += String(chunk);
  return Number.parseInt(text, 10) || 0;
}
