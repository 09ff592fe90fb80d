import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Stack } from './stack.js';

/**
 * Writes what the command line needs to reach a running stack, for a shell to read (`. .data/operator.env`). Only its owner may
 * read it: the database's URL may have a password.
 * @returns the file's path.
 */
export function writeOperatorFile(
  dataDir: string,
  stack: Pick<Stack, 'nats' | 'redis' | 'database' | 'credentialsEnvironment'>,
  env: NodeJS.ProcessEnv = process.env,
): string {
  const file = join(dataDir, 'operator.env');
  const settings: Record<string, string> = {
    NATS_URL: stack.nats.url,
    REDIS_URL: stack.redis.url,
    DATABASE_URL: stack.database.url,
    ...stack.credentialsEnvironment('operator'),
    ...tlsFiles(env),
  };
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  return file;
}

/** The shell that reads them may be in another folder. */
function tlsFiles(env: NodeJS.ProcessEnv): Record<string, string> {
  const names = ['CA', 'CERT', 'KEY'].map((what) => `NATS_TLS_${what}_FILE`);
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, resolve(env[name])]] : [])));
}
