import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, expect, it } from 'vitest';
import { waitFor } from '@meritorder/testing';
import { useRedis } from '@meritorder/testing/vitest';
import { Redis } from 'ioredis';
import { KEY, RECEIPT, send, startWorld, type World } from './gateway-world.for-tests.js';

const redis = useRedis();
let world: World;
afterEach(async () => {
  await world?.stop();
  const client = new Redis(redis.url);
  await client.flushall();
  client.disconnect();
});

const BODY = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'x'.repeat(400) }] });
const EXPECTED = Math.ceil(BODY.length / 4);
const usage = (inputTokens: number, outputTokens: number) => ({
  inputTokens,
  outputTokens,
  cacheReadTokens: 5,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  requests: 1,
});
const code = (text: string): string => JSON.parse(text).error.code;
const tokensLeft = ({ headers }: Awaited<ReturnType<typeof send>>): number =>
  Number(headers['x-ratelimit-remaining-tokens']);

it('the SDKs are told of the rate of their key, and a key at its rate when to ask again', async () => {
  world = await startWorld({ redisUrl: redis.url, keyLimits: { requestsPerMinute: 2, tokensPerMinute: 60_000 } });
  world.answer((a) => a.finish({ choices: [], content: [], meritorder: { ...RECEIPT, usage: usage(0, 1) } }));
  const openai = new OpenAI({ baseURL: `${world.url}/v1`, apiKey: KEY, maxRetries: 0 });
  const anthropic = new Anthropic({ baseURL: world.url, apiKey: KEY, maxRetries: 0 });
  const ask = { model: 'auto', messages: [{ role: 'user' as const, content: 'x' }], max_tokens: 5 };
  const first = await openai.chat.completions.create(ask).asResponse();
  expect(Object.fromEntries(first.headers)).toMatchObject({
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '1',
    'x-ratelimit-reset-requests': '30s',
    'x-ratelimit-limit-tokens': '60000',
    'x-ratelimit-reset-tokens': '1s',
  });
  const second = await anthropic.messages.create(ask).asResponse();
  expect(Object.fromEntries(second.headers)).toMatchObject({
    'anthropic-ratelimit-requests-limit': '2',
    'anthropic-ratelimit-requests-remaining': '0',
    'anthropic-ratelimit-requests-reset': '1970-01-01T00:01:00.000Z',
    'anthropic-ratelimit-tokens-limit': '60000',
  });
  const [one, other] = await Promise.all([
    openai.chat.completions.create(ask).catch((e: unknown) => e),
    anthropic.messages.create(ask).catch((e: unknown) => e),
  ]);
  expect(one).toBeInstanceOf(OpenAI.RateLimitError);
  expect(one).toMatchObject({ code: 'key_rate' });
  expect(Number((one as InstanceType<typeof OpenAI.RateLimitError>).headers!.get('retry-after'))).toBeGreaterThan(0);
  expect(other).toBeInstanceOf(Anthropic.RateLimitError);
  expect(world.asked).toHaveLength(2);
});

it('tokens are taken as expected and corrected by the receipt; what an error took is nothing', async () => {
  // One second brings 10 tokens back: what is compared has room for as many seconds as a slow machine needs.
  const rate = 600;
  world = await startWorld({ redisUrl: redis.url, keyLimits: { tokensPerMinute: rate } });
  world.answer((a) => a.refuse({ code: 'budget_held', message: 'm' }));
  const refused = await send(world, { body: BODY });
  expect(tokensLeft(refused)).toBe(rate - EXPECTED);
  world.answer((a) => a.finish({ meritorder: { ...RECEIPT, usage: usage(500, 200) } }));
  const answered = await send(world, { body: BODY });
  expect(tokensLeft(answered)).toBe(rate - EXPECTED);
  // 705 were used of 600: the next one waits for what is owed and for what it expects itself.
  const owing = await waitFor(async () => {
    const heard = await send(world, { body: BODY });
    return heard.status === 429 && heard;
  }, 'what is owed is known');
  expect(code(owing.text)).toBe('key_rate');
  expect(Number(owing.headers['retry-after'])).toBeGreaterThan((EXPECTED * 60) / rate);
  expect(world.asked.length).toBe(2);
});

it('what expects more than a minute has is not refused for ever', async () => {
  world = await startWorld({ redisUrl: redis.url, keyLimits: { tokensPerMinute: 50 } });
  world.answer((a) => a.finish({ meritorder: RECEIPT }));
  expect((await send(world, { body: BODY })).status).toBe(200);
});

it('of a key with a limit of calls at once only so many are in flight, over two gateways, whatever way they end', async () => {
  world = await startWorld({ redisUrl: redis.url, keyLimits: { concurrency: 2 } });
  const other = await startWorld({ redisUrl: redis.url, keyLimits: { concurrency: 2 } });
  try {
    const leaving = new AbortController();
    const left = fetch(`${other.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: BODY,
      signal: leaving.signal,
    }).catch(() => 'left');
    const running = send(world, { body: BODY });
    await waitFor(() => world.asked.length + other.asked.length === 2, 'both are in flight');
    for (const gateway of [world, other]) {
      const refused = await send(gateway, { body: BODY });
      expect(refused.status).toBe(429);
      expect(code(refused.text)).toBe('key_concurrency');
    }
    leaving.abort();
    world.asked[0]!.refuse({ code: 'backend_failed', message: 'm' });
    expect([(await running).status, await left]).toEqual([502, 'left']);
    for (const gateway of [world, other]) gateway.answer((a) => a.finish({ meritorder: RECEIPT }));
    await waitFor(
      async () =>
        (await Promise.all([world, other].map((g) => send(g, { body: BODY })))).every((h) => h.status === 200),
      'both places are free again',
    );
  } finally {
    await other.stop();
  }
});
