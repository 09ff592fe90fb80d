import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACME_KEY, GLOBEX_KEY, post, startGatewayProduct } from './gateway-product.js';

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let database: Awaited<ReturnType<typeof connectDatabase>>;
let urls: string[];

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [
      { id: 'quick' },
      { id: 'gated' },
      { id: 'failing', behaviour: { errorRate: 1 } },
      { id: 'slow', behaviour: { firstTokenMs: 3_000 } },
    ],
    config: { routes: [{ id: 'auto', backends: ['quick'] }] },
    instances: { gateway: 2 },
  });
  urls = product.stack.of('gateway').map(({ healthPort }) => `http://127.0.0.1:${healthPort}`);
  database = await connectDatabase(product.stack.database.url, 'gateway-once-test', 2);
});
afterAll(async () => {
  await database?.destroy();
  await product?.stop();
});

const body = (more: object = {}) => ({
  model: 'quick',
  messages: [{ role: 'user', content: 'Write 9 words.' }],
  max_tokens: 20,
  ...more,
});
const keyed = (key: string, asked: object = body(), url = urls[0]!, more: { key?: string; path?: string } = {}) =>
  post(url, asked, { headers: { 'idempotency-key': key }, ...more });
const upstream = () => product.simulator.invoice().lines.length;
/** Attempts in the books, once as many are settled. */
const settled = (count: number) =>
  waitFor(async () => {
    const rows: { state: string }[] = await database.query('select state from attempt_settled');
    return rows.length === count && rows;
  }, `${count} attempts are settled`);

describe('the same Idempotency-Key at any gateway is one call upstream and one charge (pitfall 35)', () => {
  it.each<[string, string, object]>([
    ['a chat', '/v1/chat/completions', body()],
    ['a stream', '/v1/chat/completions', body({ stream: true })],
    ['messages', '/v1/messages', body()],
    ['streamed messages', '/v1/messages', body({ stream: true })],
  ])('%s: at once, they are told that it is in flight; later, they get its answer', async (name, path, asked) => {
    const before = upstream();
    const responses = await Promise.all(
      Array.from({ length: 20 }, (_, i) => keyed(name, asked, urls[i % 2], { path })),
    );
    const answers = await Promise.all(responses.map(async (r) => ({ r, text: await r.text() })));
    const first = answers.filter(({ r }) => r.status === 200 && !r.headers.get('x-meritorder-replayed'));
    expect(first).toHaveLength(1);
    for (const { r, text } of answers)
      if (r.status === 200) expect(text).toBe(first[0]!.text);
      else {
        expect(r.status).toBe(409);
        expect(text).toContain('request_duplicate');
      }
    for (const url of urls) {
      const again = await keyed(name, asked, url, { path });
      expect(again.status).toBe(200);
      expect(again.headers.get('x-meritorder-replayed')).toBe('true');
      expect(again.headers.get('content-type')).toBe(first[0]!.r.headers.get('content-type'));
      expect(await again.text()).toBe(first[0]!.text);
    }
    expect(upstream()).toBe(before + 1);
    await settled(before + 1);
  });

  it('an SDK that asks again while it is in flight has the answer in the end', async () => {
    const before = upstream();
    product.simulator.control.gate('gated', true);
    const clients = urls.map((url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: ACME_KEY, maxRetries: 5 }));
    const asked = body({ model: 'gated' }) as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const calls = clients.map((c) =>
      c.chat.completions.create(asked, { idempotencyKey: 'sdk', headers: { 'idempotency-key': 'sdk' } }),
    );
    await waitFor(() => product.simulator.control.stats().models['gated']!.held === 1, 'one is at the backend');
    product.simulator.control.gate('gated', false);
    const [one, other] = await Promise.all(calls);
    expect(other).toEqual(one);
    expect(upstream()).toBe(before + 1);
  });

  it('a call that runs into its deadline is asked once, by an SDK too, and its charge stands at its bound', async () => {
    const asked = body({ model: 'slow', meritorder: { deadline_ms: 1_500 } });
    const calls = () => product.simulator.control.stats().models['slow']!.received;
    const before = calls();
    for (let i = 0; i < 2; i++) {
      const heard = await keyed('late', asked);
      expect(heard.status).toBe(504);
      expect(heard.headers.get('x-should-retry')).toBe('false');
      expect(((await heard.json()) as { error: { code: string } }).error.code).toBe('deadline_exceeded');
    }
    expect(calls()).toBe(before + 1);
    const sdk = new OpenAI({ baseURL: `${urls[0]}/v1`, apiKey: ACME_KEY, maxRetries: 3 });
    const call = sdk.chat.completions.create(asked as OpenAI.ChatCompletionCreateParamsNonStreaming);
    await expect(call).rejects.toMatchObject({ status: 504, code: 'deadline_exceeded' });
    expect(calls()).toBe(before + 2);
    // The hurry of one caller says nothing of the backend.
    const patient = await keyed('patient', body({ model: 'slow', meritorder: { deadline_ms: 20_000 } }));
    expect(patient.status).toBe(200);
    const rows: { state: string }[] = await waitFor(async () => {
      const late = await database.query(`select state from attempt where code = 'timeout'`);
      return late.length === 2 && late;
    }, 'both are booked');
    expect(rows.map((r) => r.state)).toEqual(['unconfirmed', 'unconfirmed']);
  });

  it('what failed before any part of an answer is free, and is not the answer of the next', async () => {
    expect((await keyed('failed', body({ model: 'failing' }))).status).toBe(502);
    expect((await keyed('failed', body())).status).toBe(200);
  });

  it('another request under it is refused, and so is another API key; another org has its own', async () => {
    expect((await keyed('mine')).status).toBe(200);
    expect((await keyed('mine', body({ seed: 1 }))).status).toBe(422);
    const theirs = await keyed('mine', body(), urls[0], { key: GLOBEX_KEY });
    expect(theirs.status).toBe(200);
    expect(theirs.headers.get('x-meritorder-replayed')).toBeNull();
  });
});

it('a gateway that dies with a request in flight leaves nothing that could run twice', async () => {
  const before = upstream();
  product.simulator.control.gate('gated', true);
  const asked = body({ model: 'gated' });
  const [dying] = product.stack.of('gateway').filter(({ healthPort }) => urls[0]!.endsWith(`:${healthPort}`));
  const call = keyed('orphan', asked, urls[0]).catch(() => 'broken');
  await waitFor(() => product.simulator.control.stats().models['gated']!.held === 1, 'it is at the backend');
  dying!.child.kill('SIGKILL');
  expect(await call).toBe('broken');
  product.simulator.control.gate('gated', false);
  const refused = await keyed('orphan', asked, urls[1]);
  expect(refused.status).toBe(409);
  // As if longer had passed than any request may take: the claim can be taken over, and the router knows the key.
  await database.query(
    `update idempotency_answers set claimed_at = claimed_at - interval '1 day' where state = 'in-flight'`,
  );
  const later = await keyed('orphan', asked, urls[1]);
  expect(later.status).toBe(409);
  expect(await later.text()).toContain('request_duplicate');
  expect(upstream()).toBe(before + 1);
});

it('the answers are kept for 24 hours and then forgotten, and hold no idempotency key in clear', async () => {
  const rows: { all: string; hours: number }[] = await database.query(
    `select t::text as all, extract(epoch from expires_at - claimed_at) / 3600 as hours from idempotency_answers t where state = 'finished'`,
  );
  expect(rows.length).toBeGreaterThan(4);
  for (const { all, hours } of rows) {
    expect(Number(hours)).toBeCloseTo(24, 1);
    expect(all).not.toContain('orphan');
    expect(all).not.toContain('streamed messages');
    expect(all).not.toContain(ACME_KEY);
  }
  const before = upstream();
  await database.query(`update idempotency_answers set expires_at = now() where state = 'finished'`);
  const again = await keyed('a chat', body(), urls[1]);
  expect(again.headers.get('x-meritorder-replayed')).toBeNull();
  // The router remembers for as long, by its own clock: it runs nothing twice within it.
  expect(again.status).toBe(409);
  expect(upstream()).toBe(before);
});
