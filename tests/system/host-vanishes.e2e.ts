import { importInvoice, readInvoice } from '@meritorder/cli';
import type { RoutingDecisionMadeV1, UsageAttemptClosedV1 } from '@meritorder/contracts';
import { attemptsByIds, connectDatabase, trialBalance, unsettledAttempts } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, chat, startProduct, type Product } from './harness.js';
import { Wire } from './wire.js';

/** A host that vanishes is noticed within this. */
const NOTICED_WITHIN_MS = 5_000;
const TOKENS_PER_SECOND = 10;
const HALF_DONE = 2;
/** Longer than any silence that makes somebody look dead. */
const PAUSE_MS = 6_000;
const WAITING = ['stream', 'stream', 'whole', 'whole'] as const;

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let database: Awaited<ReturnType<typeof connectDatabase>>;
const wire = new Wire();
const decisions: RoutingDecisionMadeV1[] = [];
const closed: UsageAttemptClosedV1[] = [];
/** Attempts on the host that nobody could finish. */
const lost = new Set<string>();

beforeAll(async () => {
  const url = await wire.listen();
  const price = (usd: string) => ({ inputUsdPerMillionTokens: usd, outputUsdPerMillionTokens: usd });
  const backend = (usd: string) => ({
    prices: [{ effectiveFrom: '2025-01-01T00:00:00Z', cash: price(usd) }],
    withoutUsage: 'bound',
  });
  const behaviour = { prices: { input: '1', output: '1' }, outputTokensPerSecond: TOKENS_PER_SECOND, wordsPerChunk: 1 };
  product = await startProduct({
    backends: [
      // Own hardware that somebody bills by the token, so that there is an invoice to compare the books with.
      { id: 'own', kind: 'local', behaviour, config: { ...backend('1'), baseUrl: `${url}/v1` } },
      { id: 'other', behaviour: { prices: { input: '2', output: '2' } }, config: backend('2') },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['own', 'other'], exploration: false }],
      limits: { requestDeadlineMs: 30_000, unconfirmedGraceMs: 1_000 },
    },
  });
  wire.target = product.simulator.port;
  app = await product.app();
  operator = await product.stack.connectOperator();
  operator.subscribe('routing.decision-made.v1.acme', { callback: (_e, m) => void decisions.push(m.json()) });
  operator.subscribe('usage.attempt-closed.v1.acme.gpu-1', { callback: (_e, m) => void closed.push(m.json()) });
  await operator.flush();
  database = await connectDatabase(product.stack.database.url, 'host-vanishes-test', 1);
  await backAtWork();
});
afterAll(async () => {
  await database?.destroy();
  await operator?.close();
  await product?.stop();
  await wire.close();
});

describe('a GPU host vanishes, with streams half done and attempts that have no first token', () => {
  it('killed: noticed in time, answered elsewhere or ended with an error; it is started again and gets work', async () => {
    const { attempts } = await vanish('kill -9', () => worker().kill('SIGKILL'));
    await product.stack.startService('local-worker', 0, { MERITORDER_HOST: 'gpu-1' });
    await backAtWork();
    // Nobody is left who could say how they ended.
    expect(closed.filter((c) => attempts.includes(c.attemptId))).toEqual([]);
  });

  it('frozen: the same; when it thaws it says nothing to callers who have been answered, and gets work', async () => {
    const frozen = worker();
    const { attempts, callers, sentAfter } = await vanish('SIGSTOP', () => frozen.kill('SIGSTOP'));
    // It never said that it has that, so nobody told it to go.
    await waitFor(
      async () => (await attemptsByIds(database, [sentAfter]))[0]?.state === 'free',
      'what a frozen worker was sent to cost nothing',
    );
    const heard = callers.map((c) => c.heard.length);
    frozen.kill('SIGCONT');
    await waitFor(
      () => attempts.every((id) => closed.some((c) => c.attemptId === id)),
      'the thawed worker to close all',
    );
    await backAtWork();
    expect(callers.map((c) => c.heard.length)).toEqual(heard);
  });

  it('its engine cut off from it: the same, and when the engine is back it gets work', async () => {
    await vanish('engine cut off', () => wire.cut());
    wire.restore();
    await backAtWork();
  });

  it('the whole machine pauses: nobody has vanished, and all that ran goes on', async () => {
    const callers = Array.from({ length: HALF_DONE }, () => caller('stream'));
    await waitFor(() => callers.every((c) => c.heard.length >= 3), 'the streams to be half done');
    product.simulator.control.gate('own', true);
    callers.push(...WAITING.map((kind) => caller(kind)));
    const held = (): number => product.simulator.control.stats().models['own']!.held;
    await waitFor(() => held() === WAITING.length, 'the others to wait for their first token');
    const { services, nats, redis } = product.stack;
    const pids = [nats.server!.pid, redis.server!.pid, ...services.map((s) => s.child.pid!)];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await new Promise((r) => setTimeout(r, PAUSE_MS));
    // Those who listen before those who speak.
    for (const pid of pids) process.kill(pid, 'SIGCONT');
    product.simulator.control.gate('own', false);
    await waitFor(() => callers.every((c) => c.heard.some((h) => h.status !== undefined)), 'all callers to be told');
    for (const c of callers) {
      expect(c.heard.at(-1)).toMatchObject({ status: 'ok' });
      expect(decisionsOf(c)).toHaveLength(1);
    }
    await backAtWork();
  });

  it('what was lost is an unconfirmed charge whose bound covers the invoice, and equal to it after its import', async () => {
    const settled = async () => (await unsettledAttempts(database)).every((a) => a.state === 'unconfirmed');
    await waitFor(settled, 'all to be closed or given up', 40_000);
    const invoice = await readInvoice(`${product.simulator.url}/invoice`);
    const billed = new Map(invoice.lines.map((l) => [l.clientRequestId ?? '', BigInt(l.nanoUsd)]));
    const rows = await attemptsByIds(database, [...lost]);
    expect(rows.map((r) => r.attemptId).toSorted()).toEqual([...lost].toSorted());
    for (const row of rows) {
      expect(row).toMatchObject({ state: 'unconfirmed' });
      expect(BigInt(row.boundCashNanos)).toBeGreaterThanOrEqual(billed.get(row.attemptId) ?? 0n);
    }
    expect([...lost].some((id) => (billed.get(id) ?? 0n) > 0n)).toBe(true);
    const imported = await importInvoice(operator, 'simco', {
      ...invoice,
      from: '2000-01-01T00:00:00.000Z',
      to: new Date(Date.now() + 1_000).toISOString(),
    });
    expect(imported).toMatchObject({ aboveBound: [], differences: [], unmatchedLines: [], totals: { unconfirmed: 0 } });
    expect(imported.totals!.ledgerNanos).toBe(imported.totals!.invoiceNanos);
    expect((await trialBalance(database)).reduce((sum, a) => sum + a.balanceNanos, 0n)).toBe(0n);
  });
});

interface Caller {
  requestId: string;
  heard: { atMs: number; attempt: string; status: string | undefined; body: any }[];
}

/** Everything that a host can be doing when it vanishes; returns when every caller has been told. */
async function vanish(
  how: string,
  strike: () => unknown,
): Promise<{ attempts: string[]; callers: Caller[]; sentAfter: string }> {
  const halfDone = Array.from({ length: HALF_DONE }, () => caller('stream'));
  await waitFor(() => halfDone.every((c) => c.heard.length >= 3), 'the streams to be half done');
  // Its worker has not said since that it goes on.
  const begun = caller('stream');
  halfDone.push(begun);
  await waitFor(() => begun.heard.length > 0, 'a stream to begin');
  product.simulator.control.gate('own', true);
  const waiting = WAITING.map((kind) => caller(kind));
  const held = (): number => product.simulator.control.stats().models['own']!.held;
  await waitFor(() => held() === WAITING.length, 'the others to wait for their first token');
  const struckAtMs = Date.now();
  strike();
  waiting.push(caller('whole'));
  const callers = [...halfDone, ...waiting];
  await waitFor(() => callers.every((c) => c.heard.some((h) => h.status !== undefined)), 'all callers to be told');
  product.simulator.control.gate('own', false);

  const noticedMs: Record<string, number[]> = { halfDone: [], waiting: [] };
  const attempts: string[] = [];
  let sentAfter = '';
  for (const c of halfDone) {
    const last = c.heard.at(-1)!;
    expect(last).toMatchObject({ status: 'error', body: { error: { code: 'stream_cut' } } });
    expect(decisionsOf(c)).toHaveLength(1);
    attempts.push(decisionsOf(c)[0]!.attemptId!);
    noticedMs['halfDone']!.push(last.atMs - struckAtMs);
  }
  for (const c of waiting) {
    const [first, second] = await waitFor(() => decisionsOf(c).length === 2 && decisionsOf(c), 'both decisions');
    expect(c.heard.at(-1)).toMatchObject({ status: 'ok', body: { meritorder: { backend: 'other' } } });
    expect(new Set(c.heard.map((h) => h.attempt))).toEqual(new Set([second!.attemptId]));
    if (c === waiting.at(-1)) sentAfter = first!.attemptId!;
    else attempts.push(first!.attemptId!);
    noticedMs['waiting']!.push(Date.parse(second!.decidedAt) - struckAtMs);
  }
  for (const ms of Object.values(noticedMs).flat()) expect(ms).toBeLessThanOrEqual(NOTICED_WITHIN_MS);
  console.log(JSON.stringify({ vanished: how, noticedMs }));
  for (const id of attempts) lost.add(id);
  return { attempts, callers, sentAfter };
}

function decisionsOf({ requestId }: Caller): RoutingDecisionMadeV1[] {
  return decisions.filter((d) => d.requestId === requestId).toSorted((a, b) => a.attemptNumber - b.attemptNumber);
}

/** Asks for 100 words, and keeps listening for whatever comes. */
function caller(kind: 'stream' | 'whole'): Caller {
  const requestId = `r-${Math.random().toString(36).slice(2)}`;
  const inbox = `_INBOX_acme.${requestId}`;
  const heard: Caller['heard'] = [];
  app.subscribe(inbox, {
    callback: (_e, m) => {
      const status = m.headers?.get('Meritorder-Status') || undefined;
      heard.push({ atMs: Date.now(), attempt: m.headers?.get('Meritorder-Attempt') ?? '', status, body: m.json() });
      if (m.reply) m.respond();
    },
  });
  const h = headers();
  h.set('Meritorder-Request', requestId);
  app.publish('inference.request.v1.acme', chat('Write 100 words.', { stream: kind === 'stream' }), {
    reply: inbox,
    headers: h,
  });
  return { requestId, heard };
}

function worker() {
  return product.stack.of('local-worker')[0]!.child;
}

/** The host is in the fleet and is sent all work again: what a breaker only tries ends before it is closed. */
async function backAtWork(): Promise<void> {
  const allOwn = async (): Promise<boolean> => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(app, chat('Write 1 words.'))));
    return answers.every((m) => m.json<any>().meritorder?.backend === 'own');
  };
  await waitFor(async () => (await allOwn()) && (await allOwn()), 'the host to get work', 60_000);
}
