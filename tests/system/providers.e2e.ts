import { nanosToUsd } from '@meritorder/kernel';
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importInvoice, readInvoice } from '@meritorder/cli';
import { connectDatabase, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product, type TestBackend } from './harness.js';
import { hearRated } from './books.js';

const PROTOCOLS = ['gemini', 'bedrock', 'anthropic'] as const;
type Protocol = (typeof PROTOCOLS)[number];

/** Each price has its own digits, so that a token in the wrong place shows. */
const PRICES = { input: '1', cachedInput: '0.1', cacheWrite: '1.25', output: '10' };
const CASH = {
  inputUsdPerMillionTokens: '1',
  cacheReadUsdPerMillionTokens: '0.1',
  cacheWrite5mUsdPerMillionTokens: '1.25',
  cacheWrite1hUsdPerMillionTokens: '1.25',
  outputUsdPerMillionTokens: '10',
};
const SECRETS: Readonly<Record<Protocol, object>> = {
  gemini: { apiKeyEnv: 'PROVIDER_KEY' },
  anthropic: { apiKeyEnv: 'PROVIDER_KEY' },
  bedrock: {
    region: 'eu-central-1',
    credentials: [{ id: 'main', accessKeyIdEnv: 'PROVIDER_KEY', secretAccessKeyEnv: 'PROVIDER_SECRET' }],
  },
};

function backendOf(protocol: Protocol, name: string, behaviour: Record<string, unknown> = {}): TestBackend {
  return {
    id: `${protocol}-${name}`,
    behaviour: { prices: PRICES, ...behaviour },
    config: {
      protocol,
      ...SECRETS[protocol],
      capabilities: ['streaming', 'tools', 'json'],
      prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: CASH }],
    },
  };
}

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let database: Awaited<ReturnType<typeof connectDatabase>>;
/** Attempts by id, as metering rated them. */
let rated: Map<string, any>;

beforeAll(async () => {
  const backends = PROTOCOLS.flatMap((protocol) => [
    backendOf(protocol, 'plain', { promptCache: true }),
    backendOf(protocol, 'slow', { outputTokensPerSecond: 40, wordsPerChunk: 1 }),
    backendOf(protocol, 'cut', { cutStreamRate: 1 }),
    backendOf(protocol, 'broken', { errorRate: 1, errorStatuses: [500] }),
  ]);
  product = await startProduct({
    backends: [
      ...backends,
      { id: 'openai-plain', behaviour: { prices: PRICES }, config: { prices: backends[0]!.config!['prices'] } },
    ],
    env: { PROVIDER_KEY: 'key-of-providers', PROVIDER_SECRET: 'secret-of-bedrock' },
    config: {
      routes: [
        { id: 'auto', backends: PROTOCOLS.map((protocol) => `${protocol}-plain`) },
        ...PROTOCOLS.map((protocol) => ({ id: `try-${protocol}`, backends: [`${protocol}-broken`, 'openai-plain'] })),
      ],
    },
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  rated = await hearRated(operator, 'acme');
  database = await connectDatabase(product.stack.database.url, 'providers-test', 2);
});
afterAll(async () => {
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

async function booked(receipt: any): Promise<any> {
  const id = receipt.attempts.at(-1).attempt_id as string;
  return waitFor(() => rated.get(id), `attempt ${id} to be rated`);
}

/** The line that the provider invoices for an attempt. */
async function invoiced(receipt: any): Promise<any> {
  const id = receipt.attempts.at(-1).attempt_id as string;
  const lines = (): any[] => product.simulator.invoice().lines as any[];
  return waitFor(() => lines().find(({ clientRequestId }) => clientRequestId === id), `attempt ${id} to be invoiced`);
}

const PROMPT = Array.from({ length: 300 }, (_, i) => `term${i}`).join(' ');

describe.each(PROTOCOLS)('chat completions over the protocol %s', (protocol) => {
  const model = `${protocol}-plain`;

  it('are answered, and receipt, books and invoice are one amount; a cached prompt too', async () => {
    for (const round of ['first', 'cached']) {
      const answer = (await ask(app, chat(`${PROMPT} Write 7 words.`, { model }))).json<any>();
      expect(answer).toMatchObject({ object: 'chat.completion', choices: [{ finish_reason: 'stop' }] });
      expect(answer.choices[0].message.content.split(' ')).toHaveLength(7);
      const { meritorder } = answer;
      expect(meritorder).toMatchObject({ backend: model, cost: { basis: 'confirmed' }, usage: { outputTokens: 7 } });
      if (round === 'cached') expect(meritorder.usage.cacheReadTokens).toBeGreaterThan(0);
      const [event, line] = await Promise.all([booked(meritorder), invoiced(meritorder)]);
      expect(event).toMatchObject({ state: 'confirmed', usage: meritorder.usage });
      expect(event.cost.cashNanos).toBe(line.nanoUsd);
      expect(meritorder.cost.usd).toBe(nanosToUsd(BigInt(line.nanoUsd)));
      expect(answer.usage.prompt_tokens).toBe(line.inputTokens + line.cachedInputTokens + line.cacheWriteTokens);
    }
  });

  it('stream as chunks of OpenAI, with the usage for those who ask for it, and end at their limit', async () => {
    const body = { model, stream: true, stream_options: { include_usage: true }, max_tokens: 20 };
    const { chunks, last } = await stream(chat('Write 40 words.', body));
    expect(chunks[0].choices[0].delta.role).toBe('assistant');
    const text = chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
    expect(text.split(' ')).toHaveLength(20);
    expect(chunks.at(-2).choices[0].finish_reason).toBe('length');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 20 } });
    const { meritorder } = last.json<any>();
    const [event, line] = await Promise.all([booked(meritorder), invoiced(meritorder)]);
    expect([event.state, event.cost.cashNanos]).toEqual(['confirmed', line.nanoUsd]);
  });

  it("are how Anthropic's messages reach it too, or its own", async () => {
    const h = headers();
    h.set('Meritorder-Kind', 'messages');
    const body = { model, max_tokens: 50, messages: [{ role: 'user', content: 'Write 5 words.' }] };
    const answer = (await ask(app, JSON.stringify(body), { headers: h })).json<any>();
    expect(answer).toMatchObject({ type: 'message', stop_reason: 'end_turn', usage: { output_tokens: 5 } });
    expect((await booked(answer.meritorder)).cost.cashNanos).toBe((await invoiced(answer.meritorder)).nanoUsd);
  });

  it('take an answer back as another model gave it', async () => {
    const messages = [
      { role: 'user', name: 'Ann', content: 'Hi' },
      { role: 'assistant', content: 'Hm.', refusal: null, annotations: [], reasoning_content: 'I think.' },
      { role: 'user', content: 'Write 3 words.' },
    ];
    const answer = (await ask(app, chat('', { model, messages }))).json<any>();
    expect(answer.meritorder).toMatchObject({ backend: model, usage: { outputTokens: 3 } });
  });

  it('that are cancelled stop upstream, and hold their bound until the invoice says less', async () => {
    const id = `cancel-${protocol}`;
    const { last } = await stream(chat('Write 90 words.', { model: `${protocol}-slow`, stream: true }), id, (seen) => {
      if (seen === 3) app.publish(`inference.cancel.v1.acme.${id}`);
    });
    expect(last.headers!.get('Meritorder-Status')).toBe('cancelled');
    const { meritorder } = last.json<any>();
    const [event, line] = await Promise.all([booked(meritorder), invoiced(meritorder)]);
    expect(line).toMatchObject({ outcome: 'cancelled' });
    expect(line.outputTokens).toBeLessThan(90);
    expect(event.state).toBe('unconfirmed');
    expect(BigInt(event.bound.cashNanos)).toBeGreaterThanOrEqual(BigInt(line.nanoUsd));
    expect(event.cost.cashNanos).toBe(event.bound.cashNanos);
  });

  it('that are cut end with an error, and hold their bound until the invoice says less', async () => {
    const { last } = await stream(chat('Write 90 words.', { model: `${protocol}-cut`, stream: true }));
    expect(errorCode(last)).toBe('stream_cut');
    const event = await waitFor(() => [...rated.values()].find((e) => e.backend === `${protocol}-cut`), 'the cut one');
    const line = await invoiced({ attempts: [{ attempt_id: event.attemptId }] });
    expect(event.state).toBe('unconfirmed');
    expect(BigInt(event.bound.cashNanos)).toBeGreaterThanOrEqual(BigInt(line.nanoUsd));
  });

  it.each([false, true])(
    'that fail, streamed %s, are one physical call and go to the next backend',
    async (streamed) => {
      const of = (): any => product.simulator.control.stats().models[`${protocol}-broken`];
      const before = of().received;
      const body = chat('Write 3 words.', { model: `try-${protocol}`, stream: streamed });
      const { meritorder } = streamed ? (await stream(body)).last.json<any>() : (await ask(app, body)).json<any>();
      expect(meritorder).toMatchObject({ backend: 'openai-plain' });
      const tried = meritorder.attempts.filter((a: any) => a.backend === `${protocol}-broken`).length;
      expect(of().received - before).toBe(tried);
    },
  );
});

describe('what not every protocol can say', () => {
  it('goes to those that can, and the record of the decision says why the others cannot', async () => {
    const decisions: any[] = [];
    const seen = operator.subscribe('routing.decision-made.v1.acme', {
      callback: (_e, m) => void decisions.push(m.json()),
    });
    await operator.flush();
    const answer = (await ask(app, chat('Write 2 words.', { seed: 5 }))).json<any>();
    expect(answer.meritorder.backend).toBe('gemini-plain');
    const decision = await waitFor(
      () => decisions.find((d) => d.requestId === answer.meritorder.request_id),
      'the record of the decision',
    );
    seen.unsubscribe();
    expect(Object.fromEntries(decision.candidates.map((c: any) => [c.backend, c.excluded]))).toMatchObject({
      'bedrock-plain': 'speaks bedrock, which cannot say "seed" (seed)',
      'anthropic-plain': 'speaks anthropic, which cannot say "seed" (seed)',
    });
  });

  it('is refused where nobody can, by its field', async () => {
    const reply = await ask(app, chat('x', { logit_bias: { 50256: -100 } }));
    expect(errorCode(reply)).toBe('no_able_backend');
    expect(reply.json<any>().error.message).toContain('cannot say "logit_bias" (logit_bias)');
  });
});

it("the books are the simulator's invoice, to the nano-dollar, over every protocol", async () => {
  await waitFor(async () => (await unsettledAttempts(database)).every((a) => a.state !== 'opened'), 'all to be closed');
  const imported = await importInvoice(operator, 'simco', {
    ...(await readInvoice(`${product.simulator.url}/invoice`)),
    from: '2000-01-01T00:00:00.000Z',
    to: new Date(Date.now() + 1_000).toISOString(),
  });
  expect(imported).toMatchObject({ unmatchedLines: [], aboveBound: [], confirmedDifferenceNanos: '0' });
  expect(imported.totals!.ledgerNanos).toBe(imported.totals!.invoiceNanos);
  expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  const models = new Set((product.simulator.invoice().lines as any[]).map((l) => l.model));
  for (const protocol of PROTOCOLS)
    for (const name of ['plain', 'slow', 'cut']) expect(models).toContain(`${protocol}-${name}`);
});

async function stream(
  body: string,
  request?: string,
  onChunk: (seen: number) => void = () => {},
): Promise<{ chunks: any[]; last: Msg }> {
  const inbox = `_INBOX_acme.${crypto.randomUUID()}`;
  const subscription = app.subscribe(inbox);
  const h = headers();
  if (request) h.set('Meritorder-Request', request);
  app.publish('inference.request.v1.acme', body, { reply: inbox, headers: h });
  const chunks: any[] = [];
  for await (const m of subscription) {
    if (m.headers?.has('Meritorder-Status')) {
      subscription.unsubscribe();
      return { chunks, last: m };
    }
    chunks.push(m.json());
    onChunk(chunks.length);
    if (m.reply) m.respond();
  }
  throw new Error('the stream ended without a terminal message');
}
