import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runs } from './data-folder.js';
import { testServers, waitFor } from './index.js';

/** Programs that own servers, as the launcher does, run from the built package. */
const workspace = resolve(import.meta.dirname, '../../..');
const library = new URL('../dist/index.js', import.meta.url).href;
const servers = testServers();
const owners: ChildProcess[] = [];

beforeAll(() => {
  execFileSync(join(workspace, 'node_modules/.bin/tsc'), ['-b'], { cwd: join(import.meta.dirname, '..') });
});
afterAll(async () => {
  for (const owner of owners) owner.kill('SIGKILL');
  await servers.stop();
});

interface Owner {
  process: ChildProcess;
  server: { pid: number; port: number };
}

async function ownerOf(start: string, dataDir: string): Promise<Owner> {
  const program = `
    import { ${start}, serverCacheDir, UNSAFE_POSTGRES } from ${JSON.stringify(library)};
    const server = await ${start}({
      cacheDir: serverCacheDir(), log: () => {}, dataDir: ${JSON.stringify(dataDir)}, database: 'd',
      ...(${JSON.stringify(start)} === 'startPostgres' ? { args: UNSAFE_POSTGRES } : {}),
    });
    process.on('SIGINT', () => {});
    process.on('SIGTERM', () => server.stop().then(() => process.exit(0)));
    console.log(JSON.stringify({ pid: server.pid, port: server.port }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  owners.push(child);
  for await (const line of createInterface(child.stdout!)) return { process: child, server: JSON.parse(line) };
  throw new Error(`${start} did not start`);
}

const PROGRAMS = { startNats: 'nats-server', startRedis: 'redis-server', startPostgres: 'postgres' };

describe.each(Object.entries(PROGRAMS))('%s', (start, program) => {
  const lives = (pid: number): boolean => runs(pid, program);

  it('ends its server when its process is killed with -9, and the next one takes over the folder', async () => {
    const first = await ownerOf(start, servers.folder(start));
    first.process.kill('SIGKILL');
    const second = await ownerOf(start, servers.folder(start));
    expect(second.server.pid).not.toBe(first.server.pid);
    expect(lives(first.server.pid)).toBe(false);
    second.process.kill('SIGKILL');
    await waitFor(() => !lives(second.server.pid), 'the second server to be gone');
  });

  it('leaves its server alone at Ctrl-C until the owner decides', async () => {
    const { process: owner, server } = await ownerOf(start, servers.folder(`${start}-interrupt`));
    // The terminal signals the whole foreground group.
    process.kill(-owner.pid!, 'SIGINT');
    process.kill(-owner.pid!, 'SIGINT');
    await expect(waitFor(() => !lives(server.pid), { message: 'its end', timeoutMs: 400 })).rejects.toThrow('its end');
    owner.kill('SIGTERM');
    await waitFor(() => !lives(server.pid), 'the server to be gone');
  });
});

it.runIf(process.platform === 'linux')(
  'nothing stays behind: the shell that guards a server ends with it',
  async () => {
    const redis = await servers.redis();
    const shell = Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${redis.pid}/stat`, 'utf8'))![1]);
    expect(runs(shell, 'redis-server')).toBe(true);
    await redis.kill();
    await waitFor(() => !runs(shell, 'redis-server'), 'the shell to be gone');
  },
);
