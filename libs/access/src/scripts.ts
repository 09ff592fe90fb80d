import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

/** A Lua script; the file's name ends in its number of keys. */
interface Script {
  text: string;
  sha1: string;
}

/** Lua lies beside `src` and `dist`, so both find it. @throws Error when a file is missing: a broken installation. */
function load(name: string): Script {
  const text = readFileSync(new URL(`../lua/${name}.lua`, import.meta.url), 'utf8');
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

export const SCRIPTS = { take: load('take-2'), correct: load('correct-1') } as const;

/** One round trip, but for the first on a server that does not know the script. */
export async function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha1, keys.length, ...keys, ...args);
  } catch (error) {
    if (!/NOSCRIPT/.test((error as Error).message)) throw error;
    return redis.eval(script.text, keys.length, ...keys, ...args);
  }
}
