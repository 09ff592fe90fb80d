import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasApt } from './debian.js';
import { embeddedPostgres } from './embedded-postgres.js';
import { findServer, missing } from './find-server.js';
import { serverCacheDir } from './for-tests.js';

const run = promisify(execFile);
const options = { cacheDir: serverCacheDir(), log: () => {} };
const folder = mkdtempSync(join(tmpdir(), 'meritorder-find-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('what is missing is said in one line', () => {
  const rows: [string, 'nats' | 'redis' | 'postgres', string][] = [
    ['NATS_SERVER_BIN', 'nats', 'NATS_SERVER_BIN is /nowhere/x, but /nowhere/x is not there or cannot be run'],
    ['REDIS_SERVER_BIN', 'redis', 'REDIS_SERVER_BIN is /nowhere/x, but /nowhere/x is not there or cannot be run'],
    [
      'POSTGRES_BIN_DIR',
      'postgres',
      'POSTGRES_BIN_DIR is /nowhere/x, but /nowhere/x/initdb is not there or cannot be run',
    ],
  ];
  it.each(rows)('a wrong %s', async (name, kind, message) => {
    const before = process.env[name];
    process.env[name] = '/nowhere/x';
    try {
      await expect(findServer(kind, options)).rejects.toThrow(new Error(message));
    } finally {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    }
  });

  it.each(['nats', 'redis', 'postgres'] as const)('no %s anywhere', (kind) => {
    const text = missing(kind, ['offline\nsecond line']);
    expect(text).toMatch(/^no \S+ found \(offline second line\); (run|use) .*, or set [A-Z_]+$/);
    if (hasApt()) expect(text).toMatch(/apt-get install (nats-server|redis-server|postgresql)/);
  });
});

it('the Postgres of the npm package runs', async () => {
  const checked: string[] = [];
  const found = await embeddedPostgres('postgres', options, async ({ path }) => void checked.push(path));
  expect((await run(join(found.path, 'postgres'), ['--version'], { env: found.env })).stdout).toContain('PostgreSQL');
  expect(checked).toEqual([found.path]);
});

/** With a stand-in for apt-get, which has no package lists until `update` was run with lists of our own. */
describe.runIf(hasApt())('fetching', () => {
  const bin = join(folder, 'bin');
  const debs = join(folder, 'debs');
  const calls = join(folder, 'calls');
  let cacheDir: string;

  beforeAll(() => {
    execFileSync(join(resolve(import.meta.dirname, '../../..'), 'node_modules/.bin/tsc'), ['-b'], {
      cwd: join(import.meta.dirname, '..'),
    });
    for (const dir of [bin, debs]) mkdirSync(dir);
    const tree = join(folder, 'redis-tools');
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
    mkdirSync(join(tree, 'usr/bin'), { recursive: true });
    const control =
      'Package: redis-tools\nVersion: 7.0.15\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: stand-in\n';
    writeFileSync(join(tree, 'DEBIAN', 'control'), control);
    writeFileSync(join(tree, 'usr/bin/redis-check-rdb'), '#!/bin/sh\necho "Redis server v=7.0.15 as ${0##*/}"\n', {
      mode: 0o755,
    });
    execFileSync('dpkg-deb', ['--root-owner-group', '-b', tree, join(debs, 'redis-tools.deb')]);
    const script = `#!/bin/sh
      for last; do :; done
      case "$*" in *Dir::State::Lists=*) own=yes;; *) own=no;; esac
      echo "$own $last" >>${calls}
      case "$last" in update) exit 0;; esac
      [ $own = yes ] && [ -e ${debs}/$last.deb ] && exec cp ${debs}/$last.deb .
      echo "E: Unable to locate package $last" >&2
      exit 100\n`;
    writeFileSync(join(bin, 'apt-get'), script);
    chmodSync(join(bin, 'apt-get'), 0o755);
  });
  beforeEach(() => {
    cacheDir = mkdtempSync(join(folder, 'cache-'));
    writeFileSync(calls, '');
  });

  const fetchIt = async (kind: string): Promise<string> => {
    const library = new URL('../dist/debian.js', import.meta.url).href;
    const program = `
      import { fetchFromDebian } from ${JSON.stringify(library)};
      const options = { cacheDir: ${JSON.stringify(cacheDir)}, log: () => {} };
      try { console.log((await fetchFromDebian(${JSON.stringify(kind)}, options, async () => {})).path); }
      catch (error) { console.log(error.message); }`;
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
    return (await run(process.execPath, ['--input-type=module', '-e', program], { env })).stdout.trimEnd();
  };

  it('uses package lists of its own where the machine has none, and leaves only the server', async () => {
    const path = await fetchIt('redis');
    expect((await run(path, ['--version'])).stdout).toContain('as redis-server');
    expect(readFileSync(calls, 'utf8')).toBe('no redis-tools\nyes update\nyes redis-tools\n');
    expect(readdirSync(cacheDir).sort()).toEqual(['apt', `redis-${process.platform}-${process.arch}`]);
  });

  it('two processes at once fetch once', async () => {
    const [one, two] = await Promise.all([fetchIt('redis'), fetchIt('redis')]);
    expect(one).toBe(two);
    expect(readFileSync(calls, 'utf8').match(/yes redis-tools/g)).toHaveLength(1);
  });

  it('goes on after a process that died while it fetched', async () => {
    const lock = join(cacheDir, 'fetching.lock');
    mkdirSync(lock);
    utimesSync(lock, new Date(0), new Date(0));
    expect(await fetchIt('redis')).toContain('redis-server');
  });

  it('says in one line what apt-get said, and leaves nothing half done', async () => {
    expect(await fetchIt('nats')).toBe('apt-get download nats-server: Unable to locate package nats-server');
    expect(readdirSync(cacheDir)).toEqual(['apt']);
  });
});
