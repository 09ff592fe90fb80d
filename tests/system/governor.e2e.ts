import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInvoice } from '@meritorder/cli';
import { Counters } from '@meritorder/counters';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { booksAsInvoice, countersAsBooks } from './books.js';
import { ask, chat, startProduct, type Product } from './harness.js';

const NANOS_PER_TOKEN = 1_000n;
const TOKENS_PER_SECOND = 200;
const SLICE_TOKENS = 64;
/** A slice is to last for a few answers. */
const FAST_SLICE_TOKENS = 8 * SLICE_TOKENS;
/** What a cancel may take until the backend notices it, with both processes on this machine. */
const CANCEL_SECONDS = 1;
const price = [
  { effectiveFrom: '2025-01-01T00:00:00Z', cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '1' } },
];
const budget = (feature: string, tokens: number, strictness: 'strict' | 'tolerant', sliceTokens = SLICE_TOKENS) => ({
  id: feature,
  selector: { org: 'acme', feature },
  window: 'total',
  limitUsd: String(tokens / 1_000_000),
  strictness,
  ...(strictness === 'tolerant' ? { sliceTokens } : {}),
});

let product: Product;
let app: NatsConnection;
let operator: NatsConnection;
let counters: Counters;
let database: Awaited<ReturnType<typeof connectDatabase>>;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      {
        id: 'steady',
        behaviour: { prices: { input: '0', output: '1' }, wordsPerChunk: 4 },
        config: { prices: price, maxOutputTokens: 16_000 },
      },
    ],
    config: {
      budgets: [
        budget('strict', 10_000, 'strict'),
        budget('tolerant', 10_000, 'tolerant'),
        budget('long', 3_000, 'tolerant'),
        budget('fast', 10_000, 'tolerant', FAST_SLICE_TOKENS),
        budget('roomy', 50_000, 'tolerant'),
      ],
      limits: { requestDeadlineMs: 60_000, unconfirmedGraceMs: 1_000 },
    },
    instances: { router: 2 },
  });
  app = await product.app();
  operator = await product.stack.connectOperator();
  counters = await Counters.connect(product.stack.redis.url);
  database = await connectDatabase(product.stack.database.url, 'governor-test', 2);
  await learnShortAnswers();
  await control('faults', { outputTokensPerSecond: TOKENS_PER_SECOND });
});
afterAll(async () => {
  await counters?.close();
  await database?.destroy();
  await operator?.close();
  await product?.stop();
});

async function control(what: 'faults' | 'gate', body: object): Promise<void> {
  const response = await fetch(`${product.simulator.url}/control/${what}`, {
    method: 'POST',
    body: JSON.stringify({ model: 'steady', ...body }),
  });
  expect(response.ok).toBe(true);
}

/** Answers of 50 tokens, at no budget's cost, until what is held for the next one is about as long. */
async function learnShortAnswers(): Promise<void> {
  let rated = 0;
  const subscription = operator.subscribe('metering.usage-rated.v1.acme', { callback: () => void rated++ });
  const answers = 480;
  for (let i = 0; i < answers; i += 40)
    await Promise.all(Array.from({ length: 40 }, () => ask(app, request('unbudgeted', 50))));
  await waitFor(() => rated >= answers, 'the answers to be rated');
  subscription.unsubscribe();
}

function request(feature: string, words: number, maxTokens = 2_000): string {
  return chat(`Write ${words} words.`, { max_tokens: maxTokens, stream: true, metadata: { feature } });
}

interface Streamed {
  tokens: number;
  finish: (string | null)[];
  last: Msg;
  receipt: any;
}

/** Attempts whose stream was ended by the governor. */
const cutAttempts = new Set<string>();

async function stream(body: string, onChunk: (seen: number) => void = () => {}): Promise<Streamed> {
  const inbox = `_INBOX_acme.governed${Math.random().toString(36).slice(2)}`;
  const subscription = app.subscribe(inbox);
  app.publish('inference.request.v1.acme', body, { reply: inbox });
  const finish: (string | null)[] = [];
  let text = '';
  for await (const m of subscription) {
    if (m.headers?.has('Meritorder-Status')) {
      subscription.unsubscribe();
      const tokens = text.split(' ').filter(Boolean).length;
      const receipt = m.json<any>().meritorder;
      if (receipt?.ended_by) cutAttempts.add(receipt.attempts.at(-1).attempt_id);
      return { tokens, finish, last: m, receipt };
    }
    const [choice] = m.json<any>().choices;
    finish.push(choice?.finish_reason ?? null);
    text += choice?.delta.content ?? '';
    onChunk(text.length);
    if (m.reply) m.respond();
  }
  throw new Error('the stream ended without a terminal message');
}

const statusOf = ({ last }: Streamed): string => last.headers!.get('Meritorder-Status');
const window = async (id: string) => (await counters.inspectWindows()).find((w) => w.budget === id)!;
const report = (what: string, figures: object): void => console.log(`${what}: ${JSON.stringify(figures)}`);

describe('a tolerant budget', () => {
  it('serves more requests at once than a strict one with the same limit', async () => {
    const asked = 60;
    await control('gate', { closed: true });
    const granted = async (feature: string): Promise<{ granted: number; all: Promise<Streamed[]> }> => {
      const decided: unknown[] = [];
      const subscription = operator.subscribe('routing.decision-made.v1.acme', {
        callback: (_e, m) => {
          const decision = m.json<any>();
          if (decision.attribution.feature === feature) decided.push(decision.choice);
        },
      });
      const all = Promise.all(Array.from({ length: asked }, () => stream(request(feature, 20))));
      await waitFor(() => decided.length >= asked, 'all to be decided');
      subscription.unsubscribe();
      return { granted: decided.filter((choice) => choice !== null).length, all };
    };
    const strict = await granted('strict');
    const tolerant = await granted('tolerant');
    await control('gate', { closed: false });
    report('granted at once of 60, limit 10,000 tokens, max_tokens 2,000', {
      strict: strict.granted,
      tolerant: tolerant.granted,
    });
    expect(strict.granted).toBeLessThanOrEqual(6);
    expect(tolerant.granted).toBeGreaterThanOrEqual(strict.granted * 4);
    const answers = (await tolerant.all).filter((s) => statusOf(s) === 'ok');
    expect(answers).toHaveLength(tolerant.granted);
    // None of them needed more than was held: with what is counted too high and what a cancel takes, they are within it.
    expect(answers.every((s) => s.tokens === 20 && s.receipt.ended_by === undefined)).toBe(true);
    await strict.all;
  });

  it.each([
    ['long', TOKENS_PER_SECOND, SLICE_TOKENS, 4_000],
    // Longer than the whole budget: though others end early, none has room for its end.
    ['fast', 10 * TOKENS_PER_SECOND, FAST_SLICE_TOKENS, 12_000],
  ])(
    'ends %s streams cleanly when its slices are refused, overrun by what a cancel lets through',
    async (id, speed, sliceTokens, words) => {
      const streams = 8;
      await control('faults', { outputTokensPerSecond: speed });
      const repeated = repeatExtensions();
      const all = await Promise.all(Array.from({ length: streams }, () => stream(request(id, words, words + 500))));
      const asked = repeated.stop();
      await control('faults', { outputTokensPerSecond: TOKENS_PER_SECOND });
      for (const s of all) {
        expect(statusOf(s)).toBe('ok');
        expect(s.finish.at(-1)).toBe('length');
        // A slice of a fast stream lasts a quarter of a second: an answer that comes later finds the stream ended.
        expect(['budget', 'unextended']).toContain(s.receipt.ended_by.cause);
      }
      const refused = all.filter((s) => s.receipt.ended_by.cause === 'budget');
      expect(refused.length).toBeGreaterThan(0);
      for (const s of refused) expect(s.receipt.ended_by).toMatchObject({ budget: id, window: 'total' });
      expect(asked).toBeGreaterThan(streams);
      const charged = await chargedFor(all);
      const { peakNanos, limitNanos } = await window(id);
      const overshoot = charged > limitNanos ? charged - limitNanos : 0n;
      const most = BigInt(streams * (sliceTokens + speed * CANCEL_SECONDS)) * NANOS_PER_TOKEN;
      report(`${streams} streams of ${words} tokens at ${speed} a second`, {
        limitTokens: Number(limitNanos / NANOS_PER_TOKEN),
        chargedTokens: Number(charged / NANOS_PER_TOKEN),
        overshootNanos: Number(overshoot),
        statedBoundNanos: Number(most),
        tokensAfterTheLastChunk: Number(charged / NANOS_PER_TOKEN) - all.reduce((sum, s) => sum + s.tokens, 0),
        extensionsAsked: asked,
      });
      expect(overshoot).toBeLessThanOrEqual(most);
      // What was held never exceeded the limit, whatever was asked for again.
      expect(peakNanos).toBeLessThanOrEqual(limitNanos);
    },
  );

  it('with room goes on to the end of a long answer, by one extension after the other', async () => {
    const { receipt, tokens, finish } = await stream(request('roomy', 900));
    expect(receipt.ended_by).toBeUndefined();
    expect([tokens, finish.findLast((f) => f !== null)]).toEqual([900, 'stop']);
    expect(receipt.cost).toMatchObject({ usd: '0.0009', basis: 'confirmed' });
    const [row] = await database.query(
      `select bound_cash_nanos as bound, terms -> 'bound' ->> 'cashNanos' as term from attempt where attempt_id = $1`,
      [receipt.attempts[0].attempt_id],
    );
    expect(BigInt(row.bound)).toBeGreaterThanOrEqual(900n * NANOS_PER_TOKEN);
    expect(row.term).toBe(row.bound);
  });
});

describe('a stream that cannot be extended ends cleanly', () => {
  it('when its router is killed', async () => {
    const killed: number[] = [];
    const kill = (): void => {
      if (killed.length > 0) return;
      for (const { child, index } of product.stack.of('router')) {
        killed.push(index);
        child.kill('SIGKILL');
      }
    };
    const cut = await stream(request('roomy', 1_800), (seen) => {
      if (seen > 200) kill();
    });
    expect(statusOf(cut)).toBe('ok');
    expect(cut.finish.at(-1)).toBe('length');
    expect(cut.receipt.ended_by.cause).toBe('unextended');
    for (const index of killed) await product.stack.startService('router', index);
  });

  it('or goes on, when Redis loses everything meanwhile', async () => {
    let wiped: Promise<void> | undefined;
    const wipe = async (): Promise<void> => {
      const redis = new Redis(product.stack.redis.url);
      await redis.flushall();
      redis.disconnect();
    };
    const all = await Promise.all(
      Array.from({ length: 4 }, () =>
        stream(request('roomy', 1_200), (seen) => {
          if (seen > 1_000) wiped ??= wipe();
        }),
      ),
    );
    await wiped;
    for (const s of all) {
      expect(statusOf(s)).toBe('ok');
      if (s.receipt.ended_by) expect(s.receipt.ended_by.cause).toBe('unextended');
      else expect(s.tokens).toBe(1_200);
    }
    report('4 streams through a wiped Redis', {
      complete: all.filter((s) => !s.receipt.ended_by).length,
      tokens: all.map((s) => s.tokens),
    });
  });
});

it('the books equal the invoice and the counters; only a cut stream is above its hold, by what a cancel lets through', async () => {
  const imported = await booksAsInvoice({ product, operator, database });
  for (const { attemptId, boundNanos, invoiceNanos } of imported.aboveBound) {
    expect(cutAttempts).toContain(attemptId);
    const most = BigInt(FAST_SLICE_TOKENS + 10 * TOKENS_PER_SECOND * CANCEL_SECONDS) * NANOS_PER_TOKEN;
    expect(BigInt(invoiceNanos) - BigInt(boundNanos)).toBeLessThanOrEqual(most);
  }
  await countersAsBooks(counters, database);
});

/** Publishes each request for an extension twice more, once at once and once late; says how many there were. */
function repeatExtensions(): { stop(): number } {
  const asked: { subject: string; data: Uint8Array }[] = [];
  const reply = '_INBOX_operator.ignored';
  const subscription = operator.subscribe('_INBOX_router.work.*.*', {
    callback: (_e, m) => {
      if (m.reply === reply || !m.string().includes('"extend"')) return;
      const late = asked.length > 4 ? [asked[asked.length - 4]!] : [];
      asked.push({ subject: m.subject, data: m.data });
      for (const { subject, data } of [{ subject: m.subject, data: m.data }, ...late])
        operator.publish(subject, data, { reply });
    },
  });
  return {
    stop: () => {
      subscription.unsubscribe();
      return asked.length;
    },
  };
}

/** What the provider charges for these, once it has noticed the end of each. */
async function chargedFor(streams: readonly Streamed[]): Promise<bigint> {
  const attempts = new Set<string>(streams.flatMap((s) => s.receipt.attempts.map((a: any) => a.attempt_id)));
  const lines = await waitFor(async () => {
    const invoice = await readInvoice(`${product.simulator.url}/invoice`);
    const found = invoice.lines.filter((l) => attempts.has(l.clientRequestId ?? ''));
    return found.length === attempts.size ? found : undefined;
  }, 'the invoice to have every stream');
  return lines.reduce((sum, line) => sum + BigInt(line.nanoUsd), 0n);
}
