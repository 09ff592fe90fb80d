import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { importInvoice } from '@meritorder/cli';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACME_KEY, startGatewayProduct } from './gateway-product.js';
import type { TestBackend } from './harness.js';

/** Words of a whole answer, one token and one chunk each, 40 a second: it would take 2.5 s. */
const WORDS = 100;
/** What is generated from a client's leaving until the backend notices it: 100 ms are 4 tokens; the rest is a busy machine's. */
const TOKENS_UNTIL_NOTICED = 20;

const EVENTS_HEARD = 8;
/** A stream may begin with some. */
const EVENTS_WITHOUT_WORDS = 3;

/** One for each wire protocol that callers speak. */
const DIALECTS = [
  {
    name: 'chat',
    path: '/v1/chat/completions',
    body: (model: string, stream: boolean) => ({
      model,
      messages: [{ role: 'user', content: `Write ${WORDS} words.` }],
      max_tokens: WORDS,
      stream,
    }),
    last: '"finish_reason":"stop"',
  },
  {
    name: 'messages',
    path: '/v1/messages',
    body: (model: string, stream: boolean) => ({
      model,
      messages: [{ role: 'user', content: `Write ${WORDS} words.` }],
      max_tokens: WORDS,
      stream,
    }),
    last: '"stop_reason":"end_turn"',
  },
];

/** One for each wire protocol of backends; an OpenAI-compatible one first. */
const BACKENDS: readonly TestBackend[] = [
  {},
  { protocol: 'anthropic', apiKeyEnv: 'PROVIDER_KEY' },
  { protocol: 'gemini', apiKeyEnv: 'PROVIDER_KEY' },
  {
    protocol: 'bedrock',
    region: 'eu-central-1',
    credentials: [{ id: 'main', accessKeyIdEnv: 'PROVIDER_KEY', secretAccessKeyEnv: 'PROVIDER_SECRET' }],
  },
].map((config) => ({
  id: `slow-${config.protocol ?? 'openai'}`,
  behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 },
  config,
}));
const EMBEDDING: TestBackend = {
  id: 'embedding',
  behaviour: { kind: 'embedding' },
  config: { kinds: ['embeddings'] },
};
const CASES = BACKENDS.flatMap(({ id }) => DIALECTS.map((dialect) => ({ ...dialect, model: id })));

let product: Awaited<ReturnType<typeof startGatewayProduct>>;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  product = await startGatewayProduct({
    backends: [...BACKENDS, EMBEDDING],
    env: { PROVIDER_KEY: 'key-of-providers', PROVIDER_SECRET: 'secret-of-bedrock' },
  });
  database = await connectDatabase(product.stack.database.url, 'disconnect-test', 1);
});
afterAll(async () => {
  const sorted = noticedMs.toSorted((a, b) => a - b).map(Math.round);
  console.log(
    `backends stopped after ${sorted[sorted.length >> 1]} ms at the median, ${sorted.at(-1)} ms at most, of ${sorted.length}`,
  );
  await database?.destroy();
  await product?.stop();
});

const stats = (model: string) => product.simulator.control.stats().models[model]!;
const lines = () => product.simulator.invoice().lines;

/** A caller that has sent its request and hears what comes. */
async function call(path: string, body: object): Promise<{ socket: Socket; heard(): string }> {
  const { port, hostname } = new URL(product.url);
  const socket = connectTcp(Number(port), hostname);
  let text = '';
  socket.on('data', (part) => (text += part.toString()));
  await once(socket, 'connect');
  const json = JSON.stringify(body);
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ACME_KEY}\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  );
  return { socket, heard: () => text };
}

/** From each leaving until the backend saw its call end, milliseconds; looked at every 2 ms. */
const noticedMs: number[] = [];

/** Leaves, and waits until the backend has seen the call end. */
async function leave(socket: Socket, model: string): Promise<void> {
  const leftMs = performance.now();
  socket.destroy();
  await waitFor(() => stats(model).running === 0, {
    message: 'the backend saw the end of the call',
    timeoutMs: 15_000,
    everyMs: 2,
  });
  noticedMs.push(performance.now() - leftMs);
}

describe.each(CASES)('$name of $model: a caller that leaves', ({ path, body, last, model }) => {
  it.each([true, false])('before the first byte stops a call that has cost nothing (stream: %s)', async (stream) => {
    product.simulator.control.gate(model, true);
    const before = lines().length;
    const { socket, heard } = await call(path, body(model, stream));
    await waitFor(() => stats(model).held === 1, 'the call is at the backend');
    expect(heard()).toBe('');
    await leave(socket, model);
    product.simulator.control.gate(model, false);
    expect(lines()).toHaveLength(before);
  });

  it('in the middle of a stream stops it, and pays for what was generated', async () => {
    const before = lines().length;
    const { socket, heard } = await call(path, body(model, true));
    await waitFor(() => heard().split('data: ').length > EVENTS_HEARD, 'some chunks');
    await leave(socket, model);
    expect(lines()).toHaveLength(before + 1);
    const line = lines().at(-1)!;
    expect(line.outcome).toBe('cancelled');
    expect(line.outputTokens).toBeGreaterThanOrEqual(EVENTS_HEARD - EVENTS_WITHOUT_WORDS);
    expect(line.outputTokens).toBeLessThan(heard().split('data: ').length + TOKENS_UNTIL_NOTICED);
  });

  it('while an answer that is not streamed is generated stops it, and pays for what was', async () => {
    const before = lines().length;
    const { socket, heard } = await call(path, body(model, false));
    await waitFor(() => stats(model).running === 1, 'the backend is at it');
    await leave(socket, model);
    expect(heard()).toBe('');
    expect(lines()).toHaveLength(before + 1);
    expect(lines().at(-1)).toMatchObject({ outcome: 'cancelled' });
    expect(lines().at(-1)!.outputTokens).toBeLessThan(TOKENS_UNTIL_NOTICED);
  });

  it.each([true, false])('at the last chunk pays for all of it (stream: %s)', async (stream) => {
    const before = lines().length;
    const { socket, heard } = await call(path, body(model, stream));
    await waitFor(() => heard().includes(last), 'the last chunk');
    await leave(socket, model);
    expect(lines()).toHaveLength(before + 1);
    expect(lines().at(-1)).toMatchObject({ outcome: 'completed', outputTokens: WORDS });
  });
});

describe('embeddings: a caller that leaves', () => {
  const body = { model: EMBEDDING.id, input: 'A merit order sorts plants by their marginal cost.' };

  it('before the first byte stops a call that has cost nothing', async () => {
    product.simulator.control.gate(EMBEDDING.id, true);
    const before = lines().length;
    const { socket, heard } = await call('/v1/embeddings', body);
    await waitFor(() => stats(EMBEDDING.id).held === 1, 'the call is at the backend');
    expect(heard()).toBe('');
    await leave(socket, EMBEDDING.id);
    product.simulator.control.gate(EMBEDDING.id, false);
    expect(lines()).toHaveLength(before);
  });

  it('at the end pays for all of it', async () => {
    const before = lines().length;
    const { socket, heard } = await call('/v1/embeddings', body);
    await waitFor(() => heard().includes('"meritorder"'), 'the end of the answer');
    await leave(socket, EMBEDDING.id);
    expect(lines()).toHaveLength(before + 1);
    expect(lines().at(-1)).toMatchObject({ outcome: 'completed' });
  });
});

it('the books: what is confirmed equals the invoice, the rest has a bound above it, and the invoice makes them equal (pitfall 13)', async () => {
  interface Row {
    attempt_id: string;
    state: string;
    cash_nanos: string;
  }
  const calls = CASES.length * 6 + 2;
  const read = async (): Promise<Row[]> => database.query(`select attempt_id, state, cash_nanos from attempt_settled`);
  const rows = await waitFor(
    async () => {
      const settled = await read();
      return settled.length === calls && settled;
    },
    'every attempt is in the books',
    60_000,
  );
  const billed = new Map(lines().map((l) => [l.clientRequestId, BigInt(l.nanoUsd)]));
  for (const { attempt_id, state, cash_nanos } of rows) {
    const invoiced = billed.get(attempt_id) ?? 0n;
    if (state === 'confirmed') expect(BigInt(cash_nanos)).toBe(invoiced);
    else expect(BigInt(cash_nanos)).toBeGreaterThanOrEqual(invoiced);
  }
  expect(rows.filter((r) => r.state === 'confirmed')).toHaveLength(CASES.length * 2 + 1);
  const operator = await product.stack.connectOperator();
  const now = new Date().toISOString();
  const report = await importInvoice(operator, 'simco', {
    ...(product.simulator.invoice() as object),
    provider: 'simco',
    from: '2020-01-01T00:00:00.000Z',
    to: now,
    lines: lines(),
  } as never);
  expect(report).toMatchObject({ differences: [], unmatchedLines: [], aboveBound: [], confirmedDifferenceNanos: '0' });
  expect(report.totals!.ledgerNanos).toBe(report.totals!.invoiceNanos);
  expect(report.totals!.unconfirmed).toBe(0);
  await operator.close();
});
