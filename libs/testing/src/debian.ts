import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { Apt } from './apt.js';
import type { Candidate, FindOptions, ServerKind } from './find-server.js';
import { withLock } from './lock.js';
import { libraryPath, missingLibraries, packagesOf } from './shared-libraries.js';

const run = promisify(execFile);

interface Recipe {
  packages(apt: Apt): Promise<string[]>;
  /** Below an unpacked package: the executable, or the folder with Postgres' programs. */
  find(root: string): string | undefined;
  /** Relative to `find`'s answer; their libraries are fetched too. */
  programs: string[];
  finish?(root: string): void;
}

const RECIPES: Record<ServerKind, Recipe> = {
  nats: {
    packages: async () => ['nats-server'],
    find: (root) => executable(join(root, 'usr/sbin/nats-server')),
    programs: ['.'],
  },
  redis: {
    // The package redis-server holds only links and services.
    packages: async () => ['redis-tools'],
    find: (root) => executable(join(root, 'usr/bin/redis-server')),
    programs: ['.'],
    finish: (root) => {
      // One program under several names: it looks at the name it was called by.
      const link = join(root, 'usr/bin/redis-server');
      if (!existsSync(link)) symlinkSync('redis-check-rdb', link);
    },
  },
  postgres: {
    packages: async (apt) => [await apt.dependency('postgresql', /^postgresql-\d+$/)],
    find: (root) => {
      const versions = join(root, 'usr/lib/postgresql');
      const newest = (existsSync(versions) ? readdirSync(versions) : []).sort((a, b) => Number(b) - Number(a))[0];
      const folder = newest && join(versions, newest, 'bin');
      return folder && executable(join(folder, 'initdb')) && folder;
    },
    programs: ['postgres', 'initdb'],
  },
};

/** Libraries bring libraries; this many rounds are enough for every server here. */
const LIBRARY_ROUNDS = 6;

export function hasApt(): boolean {
  const onPath = (name: string): boolean =>
    (process.env['PATH'] ?? '')
      .split(delimiter)
      .some((folder) => folder !== '' && executable(join(folder, name)) !== undefined);
  return onPath('apt-get') && onPath('dpkg-deb');
}

/** What an earlier run fetched. */
export function fetchedFromDebian(kind: ServerKind, cacheDir: string): Candidate | undefined {
  const root = homeOf(kind, cacheDir);
  const path = RECIPES[kind].find(root);
  const libraries = libraryPath(root);
  return path ? { path, env: libraries ? { LD_LIBRARY_PATH: libraries } : {}, root } : undefined;
}

/**
 * Downloads Debian packages as any user and unpacks them in `cacheDir`; nothing is installed.
 * @throws Error in one line.
 */
export async function fetchFromDebian(
  kind: ServerKind,
  { cacheDir, log }: FindOptions,
  check: (candidate: Candidate) => Promise<void>,
): Promise<Candidate> {
  if (!hasApt()) throw new Error('there is no apt-get here to fetch it with');
  return withLock(join(cacheDir, 'fetching.lock'), async () => {
    // While we waited somebody else may have fetched it.
    const there = fetchedFromDebian(kind, cacheDir);
    if (
      there &&
      (await check(there).then(
        () => true,
        () => false,
      ))
    )
      return there;
    const home = homeOf(kind, cacheDir);
    const work = mkdtempSync(join(cacheDir, `${kind}.`));
    try {
      log(`fetching ${kind === 'postgres' ? 'Postgres' : `${kind}-server`} as Debian packages, into ${home}`);
      await unpack(kind, work, new Apt(join(cacheDir, 'apt'), log));
      rmSync(home, { recursive: true, force: true });
      renameSync(join(work, 'root'), home);
    } catch (error) {
      if (!fetchedFromDebian(kind, cacheDir)) throw error;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    return fetchedFromDebian(kind, cacheDir)!;
  });
}

async function unpack(kind: ServerKind, work: string, apt: Apt): Promise<void> {
  const recipe = RECIPES[kind];
  const root = join(work, 'root');
  mkdirSync(root, { mode: 0o755 });
  await apt.download(await recipe.packages(apt), work);
  await unpackAll(work, root);
  recipe.finish?.(root);
  const path = recipe.find(root);
  if (!path) throw new Error(`the Debian package of ${kind} holds no server where one was expected`);
  for (let round = 0; round < LIBRARY_ROUNDS; round++) {
    const missing = await missingLibraries(
      recipe.programs.map((program) => join(path, program)),
      root,
    );
    if (missing.length === 0) return;
    for (const soname of missing) await apt.downloadFirst(packagesOf(soname), work);
    await unpackAll(work, root);
  }
  throw new Error(`the Debian package of ${kind} misses shared libraries here`);
}

async function unpackAll(work: string, root: string): Promise<void> {
  for (const file of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['-x', join(work, file), root]);
    rmSync(join(work, file));
  }
}

/** A checkout may be seen by machines of several kinds. */
function homeOf(kind: ServerKind, cacheDir: string): string {
  return join(cacheDir, `${kind}-${process.platform}-${process.arch}`);
}

function executable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}
