import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, cpSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { ServerBinary } from './find-server.js';
import type { User } from './server-process.js';

/**
 * Where root keeps what the user of Postgres must reach, when the wanted place is below a folder that only root can enter (a
 * clone in /root). Not in /var/tmp: that is cleaned after 30 days without asking, and anybody can make a folder there first.
 */
const REACHABLE = '/var/lib/meritorder';

/** Postgres refuses to run as root: then it runs as `postgres` or `nobody`. */
export function postgresUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      continue;
    }
  }
  throw new Error(
    'Postgres refuses to run as root and this machine has neither a user postgres nor nobody; start as an ordinary user, or set DATABASE_URL',
  );
}

/** The wanted folder, or one in its place that the user can enter; it belongs to the user. */
export function folderFor(user: User | undefined, wanted: string, log: (line: string) => void): string {
  mkdirSync(wanted, { recursive: true });
  if (!user) return wanted;
  let folder = wanted;
  if (!can(user, '-x', wanted)) {
    folder = join(REACHABLE, `postgres-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`);
    log(`the user who runs Postgres cannot enter ${wanted}; its data is in ${folder}`);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    if (!can(user, '-x', folder)) {
      throw new Error(
        `the user who runs Postgres can enter neither ${wanted} nor ${folder}; choose a data folder it can enter`,
      );
    }
    const link = join(wanted, 'elsewhere');
    if (!existsSync(link)) symlinkSync(folder, link);
  }
  chownSync(folder, user.uid, user.gid);
  return folder;
}

/** The same programs, copied where the user can run them if it cannot run them where they are. */
export function binaryFor(user: User | undefined, binary: ServerBinary): ServerBinary {
  if (!user || can(user, '-x', join(binary.path, 'postgres'))) return binary;
  if (!binary.root)
    throw new Error(
      `the user who runs Postgres cannot run ${binary.path}/postgres; set POSTGRES_BIN_DIR to a folder it can enter`,
    );
  const version = createHash('sha256').update(`${binary.root} ${binary.version}`).digest('hex').slice(0, 12);
  const copy = join(REACHABLE, `servers-${version}`);
  if (!existsSync(copy)) {
    const work = `${copy}.${process.pid}`;
    mkdirSync(REACHABLE, { recursive: true, mode: 0o755 });
    cpSync(binary.root, work, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(work, copy);
    } catch (error) {
      rmSync(work, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  const moved = (text: string): string => text.replaceAll(binary.root!, copy);
  return {
    ...binary,
    path: join(copy, relative(binary.root, binary.path)),
    env: Object.fromEntries(Object.entries(binary.env).map(([name, value]) => [name, moved(value)])),
    root: copy,
  };
}

/** Asks as that user, since permissions of parents and access lists count too. */
function can(user: User, what: '-x', path: string): boolean {
  try {
    execFileSync('test', [what, path], { ...user, stdio: 'ignore', cwd: '/' });
    return true;
  } catch {
    return false;
  }
}
