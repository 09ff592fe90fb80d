import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, startProduct, type Product } from './harness.js';

const cached = (input: string, read: string) => ({
  behaviour: { prices: { input, cachedInput: read, output: '1' }, promptCache: true },
  config: {
    provider: 'openai',
    prices: [
      {
        effectiveFrom: '2025-01-01T00:00:00Z',
        cash: { inputUsdPerMillionTokens: input, cacheReadUsdPerMillionTokens: read, outputUsdPerMillionTokens: '1' },
      },
    ],
  },
});

let product: Product;
let app: NatsConnection;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'cheaper', ...cached('2', '0.2') },
      { id: 'dearer', ...cached('5', '0.1') },
    ],
    instances: { router: 2 },
  });
  app = await product.app();
});
afterAll(() => product?.stop());

interface Message {
  role: string;
  content: string;
}

/** With its reason, which says why where it is not as expected. */
async function turn(model: string, messages: Message[]): Promise<{ backend: string; reason: string; answer: Message }> {
  const reply = await ask(app, JSON.stringify({ model, messages, max_tokens: 20 }));
  const { choices, meritorder } = reply.json<{
    choices: { message: Message }[];
    meritorder: { backend: string; reason: string };
  }>();
  return { backend: meritorder.backend, reason: meritorder.reason, answer: choices[0]!.message };
}

it('a conversation stays where its cache is warm, whichever router its turns come to, and a new one goes to the cheaper', async () => {
  const seen: string[] = [];
  for (let i = 0; i < 12; i++) {
    const text = Array.from({ length: 2_000 }, (_, n) => `word${i}x${n}`).join(' ');
    const messages: Message[] = [{ role: 'user', content: text }];
    const first = await turn('dearer', messages);
    messages.push(first.answer, { role: 'user', content: 'Go on.' });
    seen.push((await turn('auto', messages)).backend);
    const another = await turn('auto', [{ role: 'user', content: `Another. ${text}` }]);
    expect(another.backend, another.reason).toBe('cheaper');
  }
  expect(seen).toEqual(seen.map(() => 'dearer'));
});
