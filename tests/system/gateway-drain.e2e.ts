import { once } from 'node:events';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_KEY, startGatewayProduct } from './gateway-product.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [{ id: 'slow', behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 } }],
  });
});
afterAll(() => product?.stop());

it('SIGTERM breaks no stream and no answer, and lets nobody new in', async () => {
  const openai = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: ACME_KEY, maxRetries: 0 });
  const ask = { model: 'slow', messages: [{ role: 'user' as const, content: 'Write 80 words.' }], max_tokens: 80 };
  const whole = openai.chat.completions.create(ask);
  const streams = await Promise.all(
    Array.from({ length: 5 }, () => openai.chat.completions.create({ ...ask, stream: true })),
  );
  const { child } = product.stack.of('gateway')[0]!;
  const exited = once(child, 'exit');
  const read = streams.map(async (stream, i) => {
    let text = '';
    for await (const chunk of stream) {
      if (i === 0 && text === '') child.kill('SIGTERM');
      text += chunk.choices[0]?.delta.content ?? '';
    }
    return text.trim().split(/\s+/).length;
  });
  expect(await Promise.all(read)).toEqual([80, 80, 80, 80, 80]);
  expect((await whole).choices[0]!.message.content!.split(' ')).toHaveLength(80);
  expect(await exited).toEqual([0, null]);
  await expect(openai.models.list()).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
});
