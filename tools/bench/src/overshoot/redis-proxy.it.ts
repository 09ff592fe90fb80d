import { afterAll, beforeAll, expect, it } from 'vitest';
import { testServers, waitFor, type RunningServer } from '@meritorder/testing';
import { Redis } from 'ioredis';
import { RedisProxy } from './redis-proxy.js';

const servers = testServers();
let [first, second]: RunningServer[] = [];
let proxy: RedisProxy;
let client: Redis;

beforeAll(async () => {
  [first, second] = await Promise.all([servers.redis(), servers.redis()]);
  proxy = await RedisProxy.start(first!.port);
  client = new Redis(proxy.url, {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 20,
  });
  client.on('error', () => {});
});
afterAll(async () => {
  client.disconnect();
  await proxy.stop();
  await servers.stop();
});

it('a command whose reply is held back was applied, and the reply comes late', async () => {
  await client.set('a', '0');
  const direct = new Redis(first!.url);
  proxy.holdReplies();
  let heard = false;
  const reply = client.incr('a').then((n) => ((heard = true), n));
  await waitFor(async () => (await direct.get('a')) === '1', 'the command to be applied');
  expect(heard).toBe(false);
  proxy.releaseReplies(true);
  expect(await reply).toBe(1);
  direct.disconnect();
});

it('a reply that is lost breaks the connection, and the command was applied', async () => {
  const direct = new Redis(first!.url);
  proxy.holdReplies();
  const reply = client.incr('a').then(
    () => 'answered',
    () => 'broken',
  );
  await waitFor(async () => (await direct.get('a')) === '2', 'the command to be applied');
  proxy.releaseReplies(false);
  expect(await reply).toBe('broken');
  await waitFor(async () => (await client.get('a')) === '2', 'the client to be connected again');
  direct.disconnect();
});

it('pointed to another server, every client talks to that one', async () => {
  proxy.pointTo(second!.port);
  await waitFor(async () => (await client.get('a')) === null, 'the other server to answer');
});
