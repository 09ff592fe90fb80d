import { afterAll, beforeAll, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import type { KeyConfig } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import { useRedis } from '@meritorder/testing/vitest';
import { RedisRateLimits } from './rate-limits.js';

const server = useRedis();
const gateways: RedisRateLimits[] = [];
const errors: string[] = [];
let redis: Redis;

beforeAll(async () => {
  redis = new Redis(server.url);
  for (let i = 0; i < 4; i++) gateways.push(RedisRateLimits.open(server.url, (message) => errors.push(message)));
  await waitFor(() => gateways.every((g) => g.isConnected()), 'the gateways to be connected');
});
afterAll(() => {
  for (const gateway of gateways) gateway.close();
  redis.disconnect();
});

let made = 0;
const keyWith = (limits: KeyConfig['limits']): KeyConfig => ({ id: `key-${++made}`, ...(limits ? { limits } : {}) });

/** As if so much time had passed, by Redis' clock, since the key was last used. */
async function pass(key: KeyConfig, ms: number): Promise<void> {
  const name = `mo:rate:{acme.${key.id}}`;
  await redis.hset(name, 'at', Number(await redis.hget(name, 'at')) - ms);
}

it('a key without limits is never refused, and Redis is not asked', async () => {
  const before = await commands();
  for (let i = 0; i < 10; i++)
    expect(await gateways[0]!.take('acme', keyWith(undefined), 1e9)).toEqual({ allowed: true });
  expect(await commands()).toBe(before);
});

it('of 200 requests at once through four gateways as many are taken as a minute has, and then its rate', async () => {
  const key = keyWith({ requestsPerMinute: 60 });
  const startedMs = await redisMs();
  const takeMany = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => gateways[i % 4]!.take('acme', key)));
  const taken = await takeMany(200);
  // What fills meanwhile is one a second.
  const filled = async (): Promise<number> => Math.floor(((await redisMs()) - startedMs) / 1_000);
  const allowed = taken.filter((t) => t.allowed).length;
  expect(allowed).toBeGreaterThanOrEqual(60);
  expect(allowed).toBeLessThanOrEqual(60 + (await filled()));
  const refused = taken.find((t) => !t.allowed)!;
  expect(refused).toMatchObject({ refusedBy: 'requests', limit: 60, remaining: 0, retryAfterSeconds: 1 });
  expect(refused.resetSeconds).toBeGreaterThan(0);
  await pass(key, 30_000);
  const later = (await takeMany(200)).filter((t) => t.allowed).length;
  expect(later).toBeGreaterThanOrEqual(30);
  expect(allowed + later).toBeLessThanOrEqual(90 + (await filled()));
});

it('tells what clients read in x-ratelimit headers', async () => {
  const key = keyWith({ requestsPerMinute: 10, tokensPerMinute: 6_000 });
  expect(await gateways[0]!.take('acme', key, 1_000)).toEqual({
    allowed: true,
    limit: 10,
    remaining: 9,
    resetSeconds: 6,
    requests: { limit: 10, remaining: 9, resetSeconds: 6 },
    tokens: { limit: 6_000, remaining: 5_000, resetSeconds: 10 },
  });
});

it('tokens are taken as expected, and when they do not suffice the request is not counted', async () => {
  const key = keyWith({ requestsPerMinute: 100, tokensPerMinute: 6_000 });
  expect((await gateways[0]!.take('acme', key, 5_900)).allowed).toBe(true);
  const refused = await gateways[1]!.take('acme', key, 2_100);
  expect(refused).toMatchObject({ allowed: false, refusedBy: 'tokens', limit: 6_000 });
  // 2,000 are missing, at 100 a second, but for what has filled meanwhile.
  expect(refused.retryAfterSeconds).toBeGreaterThan(0);
  expect(refused.retryAfterSeconds).toBeLessThanOrEqual(20);
  expect(refused.requests?.remaining).toBeGreaterThanOrEqual(99);
  await pass(key, 20_000);
  expect((await gateways[1]!.take('acme', key, 2_100)).allowed).toBe(true);
});

it('a request that expects more tokens than a minute has is refused for good', async () => {
  const key = keyWith({ tokensPerMinute: 1_000 });
  expect(await gateways[0]!.take('acme', key, 1_001)).toEqual({ allowed: false, refusedBy: 'tokens', limit: 1_000 });
  expect((await gateways[0]!.take('acme', key, 1_000)).allowed).toBe(true);
});

it('what was expected too much comes back, what was expected too little is owed', async () => {
  const key = keyWith({ tokensPerMinute: 60_000 });
  await gateways[0]!.take('acme', key, 50_000);
  await gateways[0]!.correct('acme', key, 50_000, 1_000);
  expect((await gateways[1]!.take('acme', key, 58_000)).allowed).toBe(true);
  await gateways[0]!.correct('acme', key, 58_000, 118_000);
  const owing = await gateways[1]!.take('acme', key, 0);
  expect(owing).toMatchObject({ allowed: false, remaining: 0 });
  expect(owing.retryAfterSeconds).toBeGreaterThan(0);
  expect(owing.tokens?.resetSeconds).toBeGreaterThan(60);
  await pass(key, 3_600_000);
  expect(await gateways[1]!.take('acme', key, 60_000)).toMatchObject({ allowed: true, remaining: 0 });
});

it('requests in flight are counted over all gateways; one that ends, or whose gateway died, makes room', async () => {
  const key = keyWith({ concurrency: 5 });
  const enter = (i: number, forMs = 60_000) => gateways[i % 4]!.take('acme', key, 0, { requestId: `r${i}`, forMs });
  const entered = await Promise.all(Array.from({ length: 50 }, (_, i) => enter(i)));
  const inside = entered.flatMap((t, i) => (t.allowed ? [i] : []));
  expect(inside).toHaveLength(5);
  expect(entered.find((t) => !t.allowed)).toEqual({
    allowed: false,
    refusedBy: 'concurrency',
    limit: 5,
    remaining: 0,
    retryAfterSeconds: 1,
  });
  await gateways[0]!.leave('acme', key, `r${inside[0]}`);
  expect((await enter(100, 1)).allowed).toBe(true);
  await waitFor(async () => (await enter(101)).allowed, 'the one that died to be forgotten');
  expect((await enter(102)).allowed).toBe(false);
});

it('a key of one org does not use up that of another with the same id', async () => {
  const key = keyWith({ requestsPerMinute: 1 });
  expect((await gateways[0]!.take('acme', key)).allowed).toBe(true);
  expect((await gateways[0]!.take('globex', key)).allowed).toBe(true);
  expect((await gateways[0]!.take('acme', key)).allowed).toBe(false);
});

it('one command a request, and nothing is kept of a key that has its minute back', async () => {
  const key = keyWith({ requestsPerMinute: 600, tokensPerMinute: 600, concurrency: 600 });
  await gateways[0]!.take('acme', key, 1, { requestId: 'first', forMs: 60_000 });
  const before = await commands();
  for (let i = 0; i < 10; i++) await gateways[0]!.take('acme', key, 1, { requestId: `r${i}`, forMs: 60_000 });
  expect((await commands()) - before).toBe(10);
  const ttlMs = await redis.pttl(`mo:rate:{acme.${key.id}}`);
  expect(ttlMs).toBeGreaterThan(0);
  expect(ttlMs).toBeLessThanOrEqual(60_000);
});

it('while Redis is away requests are let through, and said to be; afterwards they are limited again', async () => {
  const key = keyWith({ requestsPerMinute: 1 });
  expect((await gateways[0]!.take('acme', key)).allowed).toBe(true);
  await server.kill();
  errors.length = 0;
  expect(await gateways[0]!.take('acme', key)).toEqual({ allowed: true });
  expect(errors.some((message) => message.includes(`the limits of acme/${key.id} were not asked`))).toBe(true);
  await server.restart();
  await waitFor(() => gateways[0]!.isConnected(), 'the gateway to be connected again');
  await waitFor(async () => !(await gateways[0]!.take('acme', key)).allowed, 'the key to be limited again');
});

async function redisMs(): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}

/** Scripts that clients had run so far; a script calls its own commands inside. */
async function commands(): Promise<number> {
  const stats = await redis.info('commandstats');
  return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, m) => sum + Number(m[1]), 0);
}
