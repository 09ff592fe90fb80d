import { Redis } from 'ioredis';
import pg from 'pg';
import { connect } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { useNats, usePostgres, useRedis } from './vitest.js';

const nats = useNats();
const redis = useRedis();
const postgres = usePostgres({ database: 'mine' });
const early = (): string => redis.url;

it('two lines give a test file a real server of each kind', async () => {
  const nc = await connect({ servers: nats.url });
  expect(nc.info?.jetstream).toBe(true);
  await nc.close();
  const client = new Redis(redis.url);
  expect(await client.ping()).toBe('PONG');
  client.disconnect();
  const db = new pg.Client(await postgres.createDatabase('another'));
  await db.connect();
  expect((await db.query('select current_database() as name')).rows).toEqual([{ name: 'another' }]);
  await db.end();
});

it('a server may be killed and brought back on its port', async () => {
  const before = redis.pid;
  await redis.kill();
  await redis.restart();
  expect(redis.pid).not.toBe(before);
  expect(early()).toBe(redis.url);
});
