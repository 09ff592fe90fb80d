import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startSimulator, type Simulator } from '@meritorder/provider-simulator';
import { connectDatabase, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

const KEYS = { SPENT_KEY: 'sk-spent-0001', REVOKED_KEY: 'sk-revoked-0002', GOOD_KEY: 'sk-good-0003' };

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let provider: Simulator;
let front: Server;
/** Physical calls by the key that they had, in order. */
const calls: string[] = [];
/** Keys that are out of quota now. */
const spent = new Set([KEYS.SPENT_KEY]);
const overheard: string[] = [];

/** The provider's front: it counts quotas by key and quotes the key that it refuses. */
async function startFront(): Promise<string> {
  front = createServer((request, response) => {
    const key = request.headers.authorization?.replace('Bearer ', '') ?? '';
    calls.push(key);
    const refuse = (status: number, message: string): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '60' });
      response.end(
        JSON.stringify({ error: { message, code: status === 401 ? 'invalid_api_key' : 'rate_limit_exceeded' } }),
      );
    };
    if (spent.has(key)) return refuse(429, `too many requests of ${key}`);
    if (key === KEYS.REVOKED_KEY) return refuse(401, `incorrect API key ${key}`);
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      void fetch(`${provider.url}${request.url}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: Buffer.concat(parts),
      }).then(async (answer) => {
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
        response.end(Buffer.from(await answer.arrayBuffer()));
      });
    });
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(front.address() as AddressInfo).port}/v1`;
}

beforeAll(async () => {
  provider = await startSimulator({ models: { keyed: { prices: { input: '1', output: '2' } } } });
  const baseUrl = await startFront();
  product = await startProduct({
    backends: [
      {
        id: 'keyed',
        config: {
          baseUrl,
          credentials: [
            { id: 'spent', apiKeyEnv: 'SPENT_KEY' },
            { id: 'revoked', apiKeyEnv: 'REVOKED_KEY' },
            { id: 'good', apiKeyEnv: 'GOOD_KEY' },
          ],
        },
      },
    ],
    config: {
      budgets: [{ id: 'all', selector: { org: 'acme' }, window: 'day', limitUsd: '1', strictness: 'strict' }],
    },
    env: KEYS,
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  operator.subscribe('>', { callback: (_error, message) => void overheard.push(message.string()) });
  await operator.flush();
});
afterAll(async () => {
  await operator?.close();
  await product?.stop();
  await provider?.stop();
  front?.close();
});

describe('several credentials of one backend', () => {
  it('that are refused cost an attempt each and nothing else: the same backend answers with another', async () => {
    const answer = (await ask(app, chat('Write 5 words.'))).json<any>();
    expect(answer.meritorder.attempts).toMatchObject([
      { backend: 'keyed', outcome: 'failed', code: 'quota' },
      { backend: 'keyed', outcome: 'failed', code: 'credential' },
      { backend: 'keyed', outcome: 'finished' },
    ]);
    expect(calls).toEqual([KEYS.SPENT_KEY, KEYS.REVOKED_KEY, KEYS.GOOD_KEY]);
  });

  it('are left alone afterwards, while the backend stays in use', async () => {
    calls.length = 0;
    for (let i = 0; i < 3; i++) {
      const answer = (await ask(app, chat('Write 5 words.'))).json<any>();
      expect(answer.meritorder.attempts).toHaveLength(1);
    }
    expect(calls).toEqual(Array.from({ length: 3 }, () => KEYS.GOOD_KEY));
  });

  it('all refused are the backend cooling down: one call more, then none', async () => {
    calls.length = 0;
    spent.add(KEYS.GOOD_KEY);
    expect(errorCode(await ask(app, chat('Write 5 words.')))).toBe('backend_quota');
    for (let i = 0; i < 3; i++) expect(errorCode(await ask(app, chat('Write 5 words.')))).toBe('backend_quota');
    expect(calls).toEqual([KEYS.GOOD_KEY]);
  });

  it('are booked as the provider invoices them: what was refused is free, and no hold is left', async () => {
    const invoiced = provider.invoice().lines.reduce((sum, line) => sum + BigInt(line.nanoUsd), 0n);
    expect(provider.invoice().lines).toHaveLength(4);
    const database = await connectDatabase(product.stack.database.url, 'credentials-test', 1);
    try {
      await waitFor(async () => (await unsettledAttempts(database)).length === 0, 'every attempt booked');
      const rows: { state: string; n: number; nanos: string }[] = await database.query(
        `select state, count(*)::int as n, sum(cash_nanos)::text as nanos from attempt_settled group by state order by state`,
      );
      expect(rows.find((row) => row.state === 'confirmed')).toMatchObject({ n: 4, nanos: String(invoiced) });
      expect(rows.some((row) => row.state === 'unconfirmed')).toBe(false);
      expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
    } finally {
      await database.destroy();
    }
  });

  it('never have a key in a message, whatever a provider quotes', () => {
    expect(overheard.length).toBeGreaterThan(10);
    expect(overheard.some((text) => text.includes('credential'))).toBe(true);
    for (const text of overheard) for (const key of Object.values(KEYS)) expect(text).not.toContain(key);
  });
});
