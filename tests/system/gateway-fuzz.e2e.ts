import { Agent, request } from 'node:http';
import { Counters } from '@meritorder/counters';
import { seededRandom } from '@meritorder/kernel';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_KEY, post, startGatewayProduct } from './gateway-product.js';
import { mutated } from './mutations.js';

const MUTATIONS = 10_000;
const AT_ONCE = 32;
const message = (text: string) => ({ role: 'user', content: text });
/** Valid requests, of which every part is varied. */
const REQUESTS: [string, object][] = [
  ['/v1/chat/completions', { model: 'auto', messages: [message('Write 2 words.')], max_tokens: 4 }],
  [
    '/v1/chat/completions',
    {
      model: 'quick',
      messages: [{ role: 'system', content: 'short' }, message('Write 3 words.')],
      max_completion_tokens: 4,
      stream: true,
      stream_options: { include_usage: true },
      n: 2,
      stop: ['x'],
      seed: 1,
      temperature: 0.5,
      metadata: { department: 'eng', customer: 'c-1', note: 'free' },
      meritorder: { max_cost_usd: '0.01', min_quality: 0.1, value_usd: '0.5', deadline_ms: 30_000 },
    },
  ],
  [
    '/v1/chat/completions',
    {
      model: 'quick',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Write 1 words.' },
            { type: 'image_url', image_url: { url: 'data:,' } },
          ],
        },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      response_format: { type: 'json_schema', json_schema: { name: 's', schema: { type: 'object' } } },
      max_tokens: 4,
    },
  ],
  ['/v1/embeddings', { model: 'embedder', input: ['one', 'two'], encoding_format: 'float', dimensions: 8 }],
  [
    '/v1/responses',
    {
      model: 'quick',
      instructions: 's',
      input: [message('Write 2 words.'), { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' }],
      max_output_tokens: 4,
      stream: true,
      tools: [{ type: 'function', name: 'f', parameters: { type: 'object' } }],
      text: { format: { type: 'json_schema', name: 's', schema: { type: 'object' } } },
      metadata: { department: 'eng' },
    },
  ],
  ['/v1/messages/count_tokens', { model: 'auto', system: 's', messages: [message('Write 2 words.')] }],
  [
    '/v1/messages',
    {
      model: 'quick',
      max_tokens: 4,
      system: 's',
      messages: [message('Write 2 words.')],
      stream: true,
      tools: [{ name: 'f', input_schema: { type: 'object' } }],
    },
  ],
];

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let counters: Counters;

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [
      {
        id: 'quick',
        config: { capabilities: ['streaming', 'choices', 'tools', 'json', 'vision'], maxTokensPerImage: 100 },
      },
      { id: 'embedder', behaviour: { kind: 'embedding' }, config: { kinds: ['embeddings'], maxOutputTokens: 1 } },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['quick'] }],
      budgets: [{ id: 'all', selector: { org: 'acme' }, window: 'total', limitUsd: '1000' }],
    },
  });
  counters = await Counters.connect(product.stack.redis.url);
});
afterAll(async () => {
  await counters?.close();
  await product?.stop();
});

it('10,000 mutations of valid requests: never a crash, never a 500, never a hold that stays', async () => {
  const random = seededRandom(20_261_125);
  for (const [path, valid] of REQUESTS) expect((await post(product.url, valid, { path })).status).toBe(200);
  const processes = product.stack.services.map((s) => s.child.pid);
  const statuses: Record<string, number> = {};
  const wrong: string[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  let left = MUTATIONS;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const [path, valid] = REQUESTS[Math.floor(random() * REQUESTS.length)]!;
        const body = mutated(valid, random);
        const { status, text } = await send(agent, path, body);
        statuses[status] = (statuses[status] ?? 0) + 1;
        // A stream that has begun says what broke in its last event.
        if (status === 500 || /"code":"internal"/.test(text))
          wrong.push(`${status} ${path} ${body.toString().slice(0, 300)} -> ${text.slice(-300)}`);
      }
    }),
  );
  agent.destroy();
  expect(wrong).toEqual([]);
  expect(product.stack.services.map((s) => s.child.pid)).toEqual(processes);
  expect(Object.values(statuses).reduce((a, b) => a + b)).toBe(MUTATIONS);
  // Both sides of the line were met, or nothing was tried.
  expect(statuses['200']).toBeGreaterThan(MUTATIONS / 100);
  expect(statuses['400']).toBeGreaterThan(MUTATIONS / 10);
  const now = await waitFor(
    async () => {
      const window = (await counters.inspectWindows()).find((w) => w.budget === 'all');
      return window?.reservedNanos === 0n && window;
    },
    'no hold is left',
    60_000,
  );
  const charged = product.simulator.invoice().lines.reduce((sum, l) => sum + BigInt(l.nanoUsd), 0n);
  expect(now.settledNanos).toBe(charged);
  expect((await post(product.url, REQUESTS[0]![1])).status).toBe(200);
});

/** The body goes as it is, half a character too. */
function send(agent: Agent, path: string, body: Buffer): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const url = new URL(product.url + path);
    const headers = { authorization: `Bearer ${ACME_KEY}`, 'content-length': body.length };
    const call = request({ host: url.hostname, port: url.port, path, method: 'POST', agent, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode!, text: Buffer.concat(parts).toString() }));
    });
    call.on('error', reject);
    call.end(body);
  });
}
