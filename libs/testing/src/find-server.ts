import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { fetchFromDebian, fetchedFromDebian, hasApt } from './debian.js';
import { embeddedPostgres } from './embedded-postgres.js';

const run = promisify(execFile);

export type ServerKind = 'nats' | 'redis' | 'postgres';

export interface ServerBinary {
  /** The executable; for Postgres the folder with initdb and postgres. */
  path: string;
  /** What it needs beside the process environment. */
  env: Record<string, string>;
  /** As it says itself, `2.9.10`. */
  version: string;
  /** The folder that holds all of it, when it is one of ours and can be copied. */
  root?: string;
}

/** A server that may turn out not to run here. */
export type Candidate = Omit<ServerBinary, 'version'>;

export interface FindOptions {
  /** Where fetched servers are kept. */
  cacheDir: string;
  log: (line: string) => void;
}

interface Recipe {
  program: string;
  override: string;
  debian: string;
  brew: string;
}

const RECIPES: Record<ServerKind, Recipe> = {
  nats: { program: 'nats-server', override: 'NATS_SERVER_BIN', debian: 'nats-server', brew: 'nats-server' },
  redis: { program: 'redis-server', override: 'REDIS_SERVER_BIN', debian: 'redis-server', brew: 'redis' },
  postgres: { program: 'postgres', override: 'POSTGRES_BIN_DIR', debian: 'postgresql', brew: 'postgresql' },
};

const BREW = ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew'];

/**
 * Finds a server on this machine, or fetches it without touching the system.
 * @throws Error with one line: what is missing and the command that installs it.
 */
export async function findServer(kind: ServerKind, options: FindOptions): Promise<ServerBinary> {
  if (process.platform === 'win32') throw new Error('servers run on Linux and macOS; on Windows use WSL');
  const named = process.env[RECIPES[kind].override];
  if (named) return fromOverride(kind, named);
  const reasons: string[] = [];
  const usable = async (candidate: Candidate | undefined): Promise<ServerBinary | undefined> => {
    try {
      return candidate && (await probe(kind, candidate));
    } catch (error) {
      reasons.push((error as Error).message);
      return undefined;
    }
  };
  for (const candidate of installed(kind)) {
    const found = await usable(candidate);
    if (found) return found;
  }
  const fetched = await usable(fetchedFromDebian(kind, options.cacheDir));
  if (fetched) return fetched;
  for (const fetch of kind === 'postgres' ? [embeddedPostgres, fetchFromDebian] : [fetchFromDebian]) {
    try {
      return await probe(kind, await fetch(kind, options, async (candidate) => void (await probe(kind, candidate))));
    } catch (error) {
      reasons.push((error as Error).message.split('\n')[0]!);
    }
  }
  throw new Error(missing(kind, reasons));
}

async function fromOverride(kind: ServerKind, named: string): Promise<ServerBinary> {
  const { override, program } = RECIPES[kind];
  const needed = kind === 'postgres' ? ['initdb', program].map((name) => join(named, name)) : [named];
  const absent = needed.find((path) => !isExecutable(path));
  if (absent) throw new Error(`${override} is ${named}, but ${absent} is not there or cannot be run`);
  try {
    return await probe(kind, { path: named, env: {} });
  } catch (error) {
    throw new Error(`${override} is ${named}, but ${(error as Error).message}`);
  }
}

function installed(kind: ServerKind): Candidate[] {
  const { program } = RECIPES[kind];
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean),
    '/usr/sbin',
    '/usr/bin',
    ...BREW.map((prefix) => join(prefix, 'bin')),
    ...(kind === 'postgres' ? postgresFolders() : []),
  ];
  const needed = kind === 'postgres' ? ['initdb', program] : [program];
  return [...new Set(folders)]
    .filter((folder) => needed.every((name) => isExecutable(join(folder, name))))
    .map((folder) => ({ path: kind === 'postgres' ? folder : join(folder, program), env: {} }));
}

/** Versions are not on PATH on Debian, Red Hat and in Homebrew's versioned formulas; the newest comes first. */
function postgresFolders(): string[] {
  const versions = (root: string, name: RegExp): string[] =>
    (existsSync(root) ? readdirSync(root) : [])
      .filter((entry) => name.test(entry))
      .sort((a, b) => Number(name.exec(b)?.[1] ?? 0) - Number(name.exec(a)?.[1] ?? 0))
      .map((entry) => join(root, entry, 'bin'));
  return [
    ...versions('/usr/lib/postgresql', /^(\d+)$/),
    ...versions('/usr', /^pgsql-(\d+)$/),
    ...BREW.flatMap((prefix) => versions(join(prefix, 'opt'), /^postgresql@?(\d*)$/)),
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

/** A file that is there may still be for another machine, or lack a library. @throws Error in one line. */
async function probe(kind: ServerKind, candidate: Candidate): Promise<ServerBinary> {
  const program = kind === 'postgres' ? join(candidate.path, 'postgres') : candidate.path;
  try {
    const { stdout } = await run(program, ['--version'], {
      env: { ...process.env, ...candidate.env },
      timeout: 20_000,
    });
    return { ...candidate, version: /\d+(\.\d+)+/.exec(stdout)?.[0] ?? 'unknown' };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`${program} does not run (${(stderr || message).trim().split('\n')[0]})`);
  }
}

export function missing(kind: ServerKind, reasons: string[]): string {
  const { program, override, debian, brew } = RECIPES[kind];
  const root = process.getuid?.() === 0 ? '' : 'sudo ';
  const command =
    process.platform === 'darwin'
      ? `run brew install ${brew}`
      : hasApt()
        ? `run ${root}apt-get update && ${root}apt-get install ${debian}`
        : `use your package manager to install ${debian}`;
  const why = reasons.length > 0 ? ` (${reasons.join('; ')})` : '';
  return `no ${program} found${why}; ${command}, or set ${override}`.replaceAll('\n', ' ');
}
