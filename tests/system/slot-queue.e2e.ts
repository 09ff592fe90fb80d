import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { allClosed } from './books.js';
import { ACME_KEY, GLOBEX_KEY, startGatewayProduct } from './gateway-product.js';

const SLOTS = 2;
const CALLS = 16;
let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let database: Awaited<ReturnType<typeof connectDatabase>>;
let acme: OpenAI;
let globex: OpenAI;

beforeAll(async () => {
  product = await startGatewayProduct({
    // The engine itself refuses a third call at once, so that none is hidden in a queue of its own.
    backends: [
      {
        id: 'gpu',
        kind: 'local',
        behaviour: { outputTokensPerSecond: 100, maxConcurrency: SLOTS, overload: 'reject' },
        config: { maxConcurrency: SLOTS },
      },
    ],
    config: {
      budgets: [{ id: 'org', selector: { org: 'acme' }, window: 'total', limitUsd: '100' }],
      limits: { waitForSlotMs: 20_000, requestsWaitingPerOrg: CALLS },
    },
  });
  database = await connectDatabase(product.stack.database.url, 'slot-queue-test', 1);
  // Nobody asks twice: what is refused is seen.
  const client = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${product.url}/v1`, apiKey, maxRetries: 0 });
  acme = client(ACME_KEY);
  globex = client(GLOBEX_KEY);
});
afterAll(async () => {
  await database?.destroy();
  await product?.stop();
});
beforeEach(() => waitFor(() => stats().running === 0, 'nothing to be in flight'));

const stats = () => product.simulator.control.stats().models['gpu']!;
const gate = (closed: boolean): void => product.simulator.control.gate('gpu', closed);
const lines = (): number => product.simulator.invoice().lines.length;
const attempts = async (): Promise<number> =>
  (await database.query('select count(*)::int as n from attempt'))[0].n as number;

const ask = (client: OpenAI, options: { signal?: AbortSignal; more?: object } = {}) =>
  client.chat.completions.create(
    { model: 'gpu', messages: [{ role: 'user', content: 'Write 40 words.' }], max_tokens: 60, ...options.more },
    options.signal ? { signal: options.signal } : {},
  ) as Promise<any>;
const how = (settled: PromiseSettledResult<any>): string =>
  settled.status === 'fulfilled' ? 'answered' : `${settled.reason.status} ${settled.reason.code}`;

it('a burst at own hardware is answered in full, never more at the engine than it has slots', async () => {
  const [receivedBefore, linesBefore] = [stats().received, lines()];
  let most = 0;
  const looking = setInterval(() => (most = Math.max(most, stats().running)), 2);
  const from = performance.now();
  const answers = await Promise.allSettled(Array.from({ length: CALLS }, () => ask(acme)));
  clearInterval(looking);
  const seconds = (performance.now() - from) / 1_000;
  expect(answers.map(how)).toEqual(Array(CALLS).fill('answered'));
  expect(most).toBe(SLOTS);
  expect(stats().refused).toEqual({});
  expect([stats().received - receivedBefore, lines() - linesBefore]).toEqual([CALLS, CALLS]);
  const reasons = answers.map((a) => (a as PromiseFulfilledResult<any>).value.meritorder.reason as string);
  expect(reasons.filter((r) => /^waited \d+\.\d s for a slot; gpu: /.test(r))).toHaveLength(CALLS - SLOTS);
  await allClosed({ database });
  const inVain = await database.query(`select count(*)::int as n from attempt where outcome = 'not-sent'`);
  console.log(
    `${CALLS} calls on ${SLOTS} slots: ${seconds.toFixed(1)} s, ${inVain[0].n} sent to a worker that was full`,
  );
});

it("an org's burst does not starve another org's single request", async () => {
  gate(true);
  const ended: string[] = [];
  const burst = Array.from({ length: CALLS }, () => ask(acme).then(() => ended.push('acme')));
  await waitFor(() => stats().held === SLOTS, 'the burst to have all slots');
  const single = ask(globex).then(() => ended.push('globex'));
  await new Promise((r) => setTimeout(r, 300));
  gate(false);
  await Promise.all([...burst, single]);
  expect(ended).toHaveLength(CALLS + 1);
  // It has the first slot that becomes free, or the second where both do at once.
  expect(ended.indexOf('globex')).toBeLessThanOrEqual(2 * SLOTS - 1);
});

it('a caller that leaves while it waits costs nothing, and nobody else loses by it', async () => {
  gate(true);
  const [receivedBefore, linesBefore] = [stats().received, lines()];
  await allClosed({ database });
  const attemptsBefore = await attempts();
  const first = Array.from({ length: SLOTS }, () => ask(acme));
  await waitFor(() => stats().held === SLOTS, 'all slots to be taken');
  const abort = new AbortController();
  const leaving = Array.from({ length: 4 }, () => ask(acme, { signal: abort.signal }));
  const staying = Array.from({ length: 4 }, () => ask(acme));
  const left = Promise.allSettled(leaving);
  await new Promise((r) => setTimeout(r, 500));
  abort.abort();
  for (const one of await left) expect(one).toMatchObject({ status: 'rejected', reason: { name: 'Error' } });
  await new Promise((r) => setTimeout(r, 200));
  gate(false);
  const answers = await Promise.allSettled([...first, ...staying]);
  expect(answers.map(how)).toEqual(Array(SLOTS + 4).fill('answered'));
  expect([stats().received - receivedBefore, lines() - linesBefore]).toEqual([SLOTS + 4, SLOTS + 4]);
  await allClosed({ database });
  // None was even opened for those who left; a worker that was full may have been asked in vain for one who stayed.
  const asked = await database.query(
    `select count(*)::int as other from attempt where outcome not in ('finished', 'not-sent')`,
  );
  expect(asked[0].other).toBe(0);
  expect((await attempts()) - attemptsBefore).toBeGreaterThanOrEqual(SLOTS + 4);
});

it('a deadline that passes meanwhile ends it, uncharged', async () => {
  gate(true);
  const linesBefore = lines();
  const first = Array.from({ length: SLOTS }, () => ask(acme));
  await waitFor(() => stats().held === SLOTS, 'all slots to be taken');
  const from = performance.now();
  const [late] = await Promise.allSettled([ask(acme, { more: { meritorder: { deadline_ms: 700 } } })]);
  expect(how(late!)).toBe('504 deadline_exceeded');
  expect(performance.now() - from).toBeGreaterThan(600);
  gate(false);
  await Promise.all(first);
  expect(lines() - linesBefore).toBe(SLOTS);
});
