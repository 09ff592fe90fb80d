import { afterAll, beforeAll, expect, it } from 'vitest';
import { post, startGatewayProduct } from './gateway-product.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
const prices = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '1', outputUsdPerMillionTokens: '2' } },
];

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [
      { id: 'short', config: { maxOutputTokens: 100, prices } },
      { id: 'long', config: { maxOutputTokens: 1_000, prices } },
    ],
    config: { routes: [{ id: 'auto', backends: ['short', 'long'] }] },
  });
});
afterAll(() => product?.stop());

async function asked(model: string, limits: object): Promise<any> {
  const response = await post(product.url, {
    model,
    messages: [{ role: 'user', content: 'Write 400 words.' }],
    ...limits,
  });
  const { meritorder, choices, usage } = (await response.json()) as any;
  const { backend, reason } = meritorder;
  return { backend, reason, finish: choices[0].finish_reason, tokens: usage.completion_tokens };
}

it.each<[string, object]>([
  ['with the limit that its caller named', { max_tokens: 600 }],
  ['without a limit', {}],
])('an answer %s goes where it is not cut, at equal prices', async (_name, limits) => {
  expect(await asked('auto', limits)).toMatchObject({ backend: 'long', finish: 'stop', tokens: 400 });
});

it('where nobody gives what the caller allows, the receipt says so', async () => {
  const answer = await asked('short', { max_tokens: 600 });
  expect(answer).toMatchObject({ backend: 'short', finish: 'length', tokens: 100 });
  expect(answer.reason).toContain('at most 100 output tokens, for no able backend gives the 600');
});
