import { execFileSync, spawn } from 'node:child_process';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, expect, it } from 'vitest';
import { assertPortFree, testServers, waitFor } from './index.js';

const servers = testServers();
afterAll(() => servers.stop());

it('starts the three servers and speaks to each', async () => {
  const [nats, redis, postgres] = await Promise.all([servers.nats(), servers.redis(), servers.postgres()]);
  const nc = await connect({ servers: nats.url });
  expect(nc.info?.jetstream).toBe(true);
  await nc.close();
  const client = new Redis(redis.url);
  expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  client.disconnect();
  const db = new pg.Client(postgres.url);
  await db.connect();
  expect((await db.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await db.end();
});

it('says which port is in use and what to set', async () => {
  const redis = await servers.redis();
  await expect(assertPortFree(redis.port, 'Redis', 'MERITORDER_REDIS_PORT')).rejects.toThrow(
    `port ${redis.port} for Redis is in use; set MERITORDER_REDIS_PORT to another port`,
  );
});

it('a server ends when the process that started it is killed with -9', async () => {
  const script = `
    import { testServers } from '${new URL('../dist/index.js', import.meta.url).href}';
    const redis = await testServers().redis();
    console.log(redis.port);
    setInterval(() => {}, 1000);`;
  execFileSync('node_modules/.bin/tsc', ['-b', 'libs/testing']);
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = Number(await new Promise((r) => parent.stdout.once('data', r)));
  parent.kill('SIGKILL');
  await waitFor(() => assertPortFree(port, 'x', 'y').then(() => true), 'the server to be gone');
});
