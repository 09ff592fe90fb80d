import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A Lua script; the file's name ends in its number of keys (`n`: given with the call). */
export interface Script {
  name: string;
  text: string;
  sha1: string;
}

/** Lua lies beside `src` and `dist`, so both find it. @throws Error when a file is missing: a broken installation. */
function load(name: string): Script {
  const text = readFileSync(new URL(`../lua/${name}.lua`, import.meta.url), 'utf8');
  return { name, text, sha1: createHash('sha1').update(text).digest('hex') };
}

export const SCRIPTS = {
  reserve: load('reserve-n'),
  finish: load('finish-4'),
  renew: load('renew-4'),
  extend: load('extend-2'),
  limit: load('limit-2'),
  adjust: load('adjust-2'),
  openEpoch: load('open-epoch-2'),
} as const;
