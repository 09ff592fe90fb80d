import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_KEY, GLOBEX_KEY, post, startGatewayProduct } from './gateway-product.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [{ id: 'shared' }, { id: 'acmes' }, { id: 'slow', behaviour: { outputTokensPerSecond: 40 } }],
    config: {
      budgets: [{ id: 'acme-all', selector: { org: 'acme' }, window: 'total', limitUsd: '1' }],
    },
  });
  database = await connectDatabase(product.stack.database.url, 'tenancy-test', 1);
});
afterAll(async () => {
  await database?.destroy();
  await product?.stop();
});

const body = (more: object = {}) => ({
  model: 'shared',
  messages: [{ role: 'user', content: 'Write 4 words.' }],
  max_tokens: 20,
  ...more,
});
const asGlobex = (asked: object, headers: Record<string, string> = {}) =>
  post(product.url, asked, { key: GLOBEX_KEY, headers });
const get = (path: string, key: string, headers: Record<string, string> = {}) =>
  fetch(product.url + path, { headers: { authorization: `Bearer ${key}`, ...headers } });
/** Who pays for a request. */
const payerOf = (requestId: string): Promise<Record<string, string>> =>
  waitFor(async () => {
    const [row] = await database.query(`select terms -> 'attribution' as payer from attempt where request_id = $1`, [
      requestId,
    ]);
    return row?.payer;
  }, `the attempt of ${requestId}`);

it.each<[string, object, Record<string, string>]>([
  ['metadata', body({ metadata: { org: 'acme' } }), {}],
  ['the key id in metadata', body({ metadata: { key: 'app', org: 'acme' } }), {}],
  ['a header of NATS', body(), { 'Meritorder-Key': ACME_KEY }],
  ['an org header', body(), { 'OpenAI-Organization': 'acme', 'X-Meritorder-Org': 'acme' }],
])('spend: an org named by %s pays nothing, whose key it is pays', async (_name, asked, headers) => {
  const response = await asGlobex(asked, headers);
  expect(response.status).toBe(200);
  const { meritorder } = (await response.json()) as any;
  expect(await payerOf(meritorder.request_id)).toMatchObject({ org: 'globex', key: 'app' });
  expect(meritorder.budgets_left).toEqual([]);
});

it('spend: a backend that is not for the org is not there, asked for or listed', async () => {
  const response = await asGlobex(body({ model: 'acmes' }));
  expect(response.status).toBe(404);
  const { data } = (await (await get('/v1/models', GLOBEX_KEY)).json()) as any;
  expect(data.map((m: any) => m.id)).toEqual(['shared']);
  const dialects: Record<string, string>[] = [{}, { 'anthropic-version': '2023-06-01' }];
  for (const headers of dialects) expect((await get('/v1/models/acmes', GLOBEX_KEY, headers)).status).toBe(404);
});

it('read: the answer kept for an Idempotency-Key of one org is not given to another', async () => {
  const headers = { 'idempotency-key': 'same' };
  const mine = await post(product.url, body(), { headers });
  const theirs = await asGlobex(body(), headers);
  expect(theirs.headers.get('x-meritorder-replayed')).toBeNull();
  const [one, other] = [(await mine.json()) as any, (await theirs.json()) as any];
  expect(one.meritorder.request_id).not.toBe(other.meritorder.request_id);
  expect(await payerOf(other.meritorder.request_id)).toMatchObject({ org: 'globex' });
});

it('cancel: no header or path stops the request of another', async () => {
  const running = await post(
    product.url,
    body({ model: 'slow', stream: true, messages: [{ role: 'user', content: 'Write 40 words.' }], max_tokens: 60 }),
  );
  const id = running.headers.get('x-meritorder-request-id')!;
  // The same id, as if it were the own request: the gateway gives each its own.
  const theirs = await asGlobex(body({ stream: true }), { 'meritorder-request': id, 'x-request-id': id });
  expect(theirs.headers.get('x-meritorder-request-id')).not.toBe(id);
  for (const [method, path] of [
    ['DELETE', `/v1/chat/completions/${id}`],
    ['POST', `/v1/responses/${id}/cancel`],
  ] as const)
    expect(
      (await fetch(product.url + path, { method, headers: { authorization: `Bearer ${GLOBEX_KEY}` } })).status,
    ).toBe(404);
  const globex = await product.app('globex');
  globex.publish(`inference.cancel.v1.globex.${id}`);
  await globex.flush();
  const text = await running.text();
  expect(text).toContain('"finish_reason":"stop"');
  expect(text).toContain('[DONE]');
});

it('subscribe: the user of another org on NATS hears nothing of what a key asks over HTTP', async () => {
  const globex = await product.app('globex');
  const heard: string[] = [];
  const refused: string[] = [];
  void (async () => {
    for await (const status of globex.status())
      if (status.type === 'error') refused.push(String((status as unknown as { error: Error }).error.message));
  })();
  const subjects = ['inference.request.v1.acme', '_INBOX_acme.>', '_INBOX_gateway.>', 'inference.cancel.v1.acme.*'];
  for (const subject of subjects)
    globex.subscribe(subject, { callback: (error, message) => void (error ?? heard.push(message.subject)) });
  await waitFor(() => refused.length >= subjects.length, 'every subscription is refused');
  expect((await post(product.url, body())).status).toBe(200);
  await globex.flush();
  expect(heard).toEqual([]);
});

it.each([
  ['none', {}],
  ['of another scheme', { authorization: `Basic ${Buffer.from(`x:${ACME_KEY}`).toString('base64')}` }],
  ['with more behind it', { authorization: `Bearer ${ACME_KEY}x` }],
  ['its digest', { authorization: 'Bearer ' + 'a'.repeat(64) }],
  ['in the address', {}, `?api_key=${ACME_KEY}`],
  ['very long', { authorization: `Bearer ${'x'.repeat(4_000)}` }],
])('a key that is none is refused on every path: %s', async (_name, headers: Record<string, string>, query = '') => {
  for (const path of ['/v1/chat/completions', '/v1/embeddings', '/v1/messages']) {
    const response = await fetch(product.url + path + query, { method: 'POST', headers, body: JSON.stringify(body()) });
    expect(response.status).toBe(401);
    expect(await response.text()).not.toContain(ACME_KEY);
  }
  expect((await fetch(`${product.url}/v1/models${query}`, { headers })).status).toBe(401);
});
