import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Who runs on a data folder: two servers on one folder destroy it. */
const CLAIM = 'server.pid';

/** A server whose owner was killed with -9 is still ending when the next owner starts. */
const LEAVE_LIMIT_MS = 35_000;

/**
 * Waits until the server that an owner who died has left behind is gone.
 * @throws Error with one line when the folder is in use.
 */
export async function assertFolderFree(dataDir: string, limitMs = LEAVE_LIMIT_MS): Promise<void> {
  const file = join(dataDir, CLAIM);
  if (!existsSync(file)) return;
  const [server, owner, program = ''] = readFileSync(file, 'utf8').trim().split(' ');
  const deadline = Date.now() + limitMs;
  while (runs(Number(server), program)) {
    if (isAlive(Number(owner)) || Date.now() > deadline) {
      throw new Error(
        `the data folder ${dataDir} is in use by ${program} (process ${server}, started by process ${owner}); stop that first`,
      );
    }
    await delay(50);
  }
  rmSync(file, { force: true });
}

export function claimFolder(dataDir: string, serverPid: number, command: string): void {
  writeFileSync(join(dataDir, CLAIM), `${serverPid} ${process.pid} ${basename(command)}\n`);
}

/** Whether that process lives and is that program: numbers of processes are given out again, soon in a container. */
export function runs(pid: number, program: string): boolean {
  return isAlive(pid) && commandLine(pid).includes(program);
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Empty for a process that has ended and was not waited for. */
function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}
