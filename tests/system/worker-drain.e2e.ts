import { once } from 'node:events';
import { attemptsByIds, connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { post, startGatewayProduct } from './gateway-product.js';

const DRAIN_MS = 1_500;
/** Long past the end of the drain, and before the deadline of every request. */
const WORDS = 80;
const TOKENS_PER_SECOND = 10;
const EACH = 8;

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [{ id: 'slow', behaviour: { outputTokensPerSecond: TOKENS_PER_SECOND, wordsPerChunk: 1 } }],
    config: { limits: { drainMs: DRAIN_MS, requestDeadlineMs: 60_000 } },
    instances: { 'provider-worker': 2 },
  });
  database = await connectDatabase(product.stack.database.url, 'worker-drain-test', 1);
});
afterAll(async () => {
  await database?.destroy();
  await product?.stop();
});

const ask = (stream: boolean): Promise<Response> =>
  post(product.url, {
    model: 'slow',
    messages: [{ role: 'user', content: `Write ${WORDS} words.` }],
    max_tokens: WORDS,
    stream,
  });

it('a worker that ends has streams broken off at once, and what nobody heard of is answered by another', async () => {
  const operator = await product.stack.connectOperator();
  const opened: string[] = [];
  operator.subscribe('usage.attempt-opened.v1.acme', {
    callback: (_e, m) => void opened.push(m.json<any>().attemptId),
  });
  await operator.flush();
  const streams = await Promise.all(Array.from({ length: EACH }, () => ask(true)));
  const wholes = Promise.all(Array.from({ length: EACH }, async () => (await ask(false)).json() as any));
  await waitFor(() => opened.length === 2 * EACH, 'all are on their way');
  const { child } = product.stack.of('provider-worker')[0]!;
  const exited = once(child, 'exit');
  const stoppedAtMs = Date.now();
  child.kill('SIGTERM');
  const ends = await Promise.all(
    streams.map(async (stream) => {
      const text = await stream.text();
      return { text, afterMs: Date.now() - stoppedAtMs };
    }),
  );
  const cut = ends.filter((e) => !e.text.endsWith('[DONE]\n\n'));
  expect(cut.length).toBeGreaterThan(0);
  expect(cut.length).toBeLessThan(EACH);
  for (const { text, afterMs } of cut) {
    expect(text).toContain('"code":"stream_cut"');
    expect(afterMs).toBeLessThan(DRAIN_MS + 3_000);
  }
  expect(await exited).toEqual([0, null]);
  const answers = await wholes;
  for (const { choices } of answers) expect(choices[0].message.content.split(' ')).toHaveLength(WORDS);
  const again = answers.filter((a) => a.meritorder.attempts.length > 1);
  expect(again.length).toBeGreaterThan(0);
  for (const { meritorder } of again)
    expect(meritorder.attempts).toMatchObject([
      { backend: 'slow', outcome: 'failed', code: 'draining' },
      { backend: 'slow', outcome: 'finished' },
    ]);
  expect(opened).toHaveLength(2 * EACH + again.length);
  await waitFor(
    async () => (await attemptsByIds(database, opened)).every((a) => a.state !== 'opened'),
    'every attempt to be closed',
  );
  await operator.close();
});
