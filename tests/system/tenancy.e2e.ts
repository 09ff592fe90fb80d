import { createHash } from 'node:crypto';
import { jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Meritorder, type AnswerStream, type ChatAnswer } from '@meritorder/client';
import { connectDatabase } from '@meritorder/ledger-store';
import { waitFor } from '@meritorder/testing';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';

/** Invariant 10 on NATS: what a user or a key of `acme` tries on `globex`. Each attempt is a test. */
const ACME_KEY = 'key-of-acme';
const GLOBEX_KEY = 'key-of-globex';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

let product: Product;
let acme: NatsConnection;
let globex: NatsConnection;
let operator: NatsConnection;
let victim: Meritorder;
/** A stream of globex that goes on for minutes. */
let stream: AnswerStream;
let chunks = 0;
const streamId = 'victim-stream';
/** Requests that globex made itself. */
const ofGlobex = new Set([streamId]);
const refusals: string[] = [];
const seenByVictim: string[] = [];

beforeAll(async () => {
  product = await startProduct({
    backends: [{ id: 'quick' }, { id: 'slow', behaviour: { outputTokensPerSecond: 4, wordsPerChunk: 1 } }],
    config: {
      orgs: [
        {
          id: 'acme',
          departments: ['eng', 'support'],
          routes: ['auto'],
          keys: [{ id: 'acme-eng', sha256: sha256(ACME_KEY), department: 'eng', customer: 'c-1', tier: 'free' }],
        },
        { id: 'globex', departments: ['secret'], keys: [{ id: 'globex-all', sha256: sha256(GLOBEX_KEY) }] },
      ],
      tiers: [
        { id: 'free', orgs: ['acme'] },
        { id: 'premium', orgs: ['globex'] },
      ],
      routes: [
        { id: 'auto', backends: ['quick'] },
        { id: 'private', backends: ['slow'] },
      ],
      budgets: [
        { id: 'globex-month', selector: { org: 'globex' }, window: 'month', limitUsd: '100', thresholds: [0.000_001] },
      ],
    },
  });
  [acme, globex, operator] = await Promise.all([
    product.app('acme'),
    product.app('globex'),
    product.stack.connectOperator(),
  ]);
  void (async () => {
    for await (const status of acme.status()) if (status.type === 'error') refusals.push(status.error.message);
  })();
  globex.subscribe('_INBOX_globex.watched.>', { callback: (_e, m) => void seenByVictim.push(m.subject) });
  victim = Meritorder.over(globex, 'globex');
  stream = victim.stream(JSON.parse(chat('Write 900 words.', { model: 'slow', max_tokens: 900 })), {
    requestId: streamId,
  });
  void (async () => {
    for await (const chunk of stream) chunks += chunk.choices.length;
  })().catch(() => undefined);
  await waitFor(() => chunks > 1, 'the stream of globex to flow');
});
afterAll(async () => {
  victim?.cancel(streamId);
  await operator?.close();
  await product?.stop();
});

async function askAsVictim(): Promise<ChatAnswer> {
  const answer = await victim.ask(JSON.parse(chat('Write 1 words.')));
  ofGlobex.add(answer.meritorder.request_id);
  return answer;
}

/** The server has said no, by the name of the subject. */
const refused = (subject: string): Promise<unknown> =>
  waitFor(
    () => refusals.some((r) => r.includes(`"${subject}"`)),
    `${subject} to be refused; it said ${refusals.at(-1)}`,
  );

describe('a user of acme may not publish', () => {
  it.each([
    ['spend: a request as globex', 'inference.request.v1.globex'],
    ['spend: a job as globex', 'inference.job.v1.globex'],
    ['spend: a job past the router', 'job.accepted.v1.globex.any'],
    ['read: an estimate as globex', 'inference.estimate.v1.globex'],
    ['cancel a request of globex', `inference.cancel.v1.globex.${streamId}`],
    ['stop an attempt', 'attempt.stop.v1.any'],
    ['acknowledge chunks of globex', `inference.ack.v1.globex.${streamId}`],
    ['acknowledge events of globex', 'deliver-ack.v1.globex.alerts.any'],
    ["acknowledge globex's consumer", '$JS.ACK.EVENTS.globex_alerts.1.1.1.1.0'],
    ['report an outcome as globex', 'outcome.reported.v1.globex'],
    ['answer in the name of a worker', '_INBOX_globex.watched.answer'],
    ['tell the router that an attempt may grow', '_INBOX_router.any'],
    ['extend a hold in the books', 'usage.attempt-extended.v1.globex'],
    ['open an attempt of globex', 'usage.attempt-opened.v1.globex'],
    ['close an attempt of globex', 'usage.attempt-closed.v1.globex'],
    ['close an attempt of its own', 'usage.attempt-closed.v1.acme'],
    ['give work to a worker', 'work.v1.quick'],
    ['say that a worker lives', 'worker.heartbeat.v1.quick'],
    ['an alert of globex', 'budget.exhausted.v1.globex.globex-month'],
    ['an alert of its own', 'budget.exhausted.v1.acme.any'],
    ['an event as delivered to globex', 'deliver.v1.globex.alerts'],
    ['a result of globex', `inference.result.v1.globex.${streamId}`],
    ['rated usage of globex', 'metering.usage-rated.v1.globex'],
    ['a policy of globex', 'policy.stage-changed.v1.globex.globex-month'],
    ['a price', 'price.version-published.v1'],
    ["the operator's budgets", 'budget-policy.budgets.v1'],
    ["the operator's pacing", 'budget-policy.pacing.v1'],
    ["the operator's prices", 'metering.prices.v1'],
    ["the operator's invoices", 'metering.reconcile.v1'],
    ['read: decisions of all', 'metering.decisions.v1'],
    ['JetStream: its account', '$JS.API.INFO'],
    ['JetStream: the list of streams', '$JS.API.STREAM.LIST'],
    ['JetStream: a stream', '$JS.API.STREAM.INFO.EVENTS'],
    ['JetStream: read a message', '$JS.API.STREAM.MSG.GET.EVENTS'],
    ['JetStream: purge', '$JS.API.STREAM.PURGE.USAGE'],
    ['JetStream: delete', '$JS.API.STREAM.DELETE.EVENTS'],
    ['JetStream: a consumer of its own', '$JS.API.CONSUMER.CREATE.EVENTS'],
    ['JetStream: a durable consumer', '$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine'],
    ["JetStream: the next message of globex's consumer", '$JS.API.CONSUMER.MSG.NEXT.EVENTS.globex_alerts'],
    ["JetStream: globex's consumer deleted", '$JS.API.CONSUMER.DELETE.EVENTS.globex_alerts'],
    ['a bucket: read', '$JS.API.DIRECT.GET.KV_BUDGETS.$KV.BUDGETS.globex-month'],
    ['a bucket: a budget', '$KV.BUDGETS.globex-month'],
    ['a bucket: a price', '$KV.PRICES.quick'],
    ['a bucket: the epoch', '$KV.EPOCH.newest'],
    ['a bucket: a request key of globex', '$KV.IDEMPOTENCY.globex.any'],
    ['a bucket: a cancel of globex', '$KV.CANCELS.globex.any'],
    ['the server', '$SYS.REQ.SERVER.PING'],
    ['its account', '$SYS.REQ.ACCOUNT.PING.CONNZ'],
  ])('%s', async (_what, subject) => {
    acme.publish(subject, chat('stolen'), { reply: '_INBOX_acme.reply' });
    await refused(subject);
  });
});

describe('a user of acme may not subscribe to', () => {
  it.each([
    ['everything', '>'],
    ['everything of one word', '*'],
    ['everything of four words', '*.*.*.*'],
    ["globex's answers", '_INBOX_globex.>'],
    ['one answer of globex', '_INBOX_globex.watched.answer'],
    ['all inboxes', '_INBOX.>'],
    ["the router's inbox", '_INBOX_router.>'],
    ["the operator's inbox", '_INBOX_operator.>'],
    ['requests of all', 'inference.request.v1.*'],
    ['requests of globex', 'inference.request.v1.globex'],
    ['its own requests, in place of the router', 'inference.request.v1.acme'],
    ['jobs of all', 'inference.job.v1.*'],
    ['cancels of globex', 'inference.cancel.v1.globex.*'],
    ['acknowledgements of globex', 'inference.ack.v1.globex.*'],
    ['results of globex', 'inference.result.v1.globex.*'],
    ['results of all', 'inference.result.v1.*.*'],
    ["globex's alerts", 'deliver.v1.globex.alerts'],
    ['alerts of all', 'deliver.v1.*.*'],
    ["globex's budgets", 'budget.*.v1.globex.*'],
    ['budgets of all', 'budget.>'],
    ['rated usage of globex', 'metering.usage-rated.v1.globex'],
    ['rated usage of all', 'metering.usage-rated.v1.*'],
    ['decisions of globex', 'routing.decision-made.v1.globex'],
    ['outcomes of globex', 'outcome.recorded.v1.globex'],
    ['reports of globex', 'outcome.reported.v1.globex'],
    ['policies of all', 'policy.*.v1.*.*'],
    ['usage', 'usage.>'],
    ['work', 'work.v1.*'],
    ['heartbeats', 'worker.heartbeat.v1.*'],
    ['dead letters', 'dead-letter.v1.*'],
    ['buckets', '$KV.>'],
    ['acknowledgements to JetStream', '$JS.ACK.>'],
    ['advisories of JetStream', '$JS.EVENT.>'],
    ['the server', '$SYS.>'],
  ])('%s', async (_what, subject) => {
    const got: string[] = [];
    for (const queue of [undefined, 'router'])
      acme.subscribe(subject, {
        ...(queue ? { queue } : {}),
        callback: (error, m) => void (error ? 0 : got.push(m.subject)),
      });
    await refused(subject);
    // Something that would be heard there.
    await askAsVictim();
    expect(got).toEqual([]);
  });
});

describe('a reply subject beyond its own inbox is not answered:', () => {
  const spied: string[] = [];
  beforeAll(async () => {
    for (const subject of ['_INBOX_globex.>', '_INBOX_router.>', '_INBOX_acme', 'deliver.>', 'budget-policy.>'])
      operator.subscribe(subject, {
        callback: (_e, m) => void (m.string().includes('stolen') && spied.push(m.subject)),
      });
    operator.subscribe('$JS.API.STREAM.PURGE.>', { callback: (_e, m) => void spied.push(m.subject) });
    operator.subscribe('$KV.EPOCH.>', { callback: (_e, m) => void spied.push(m.subject) });
    operator.subscribe('inference.cancel.v1.globex.>', { callback: (_e, m) => void spied.push(m.subject) });
    await operator.flush();
  });
  const REPLIES = [
    '_INBOX_globex.watched.stolen',
    '_INBOX_router.stolen',
    '_INBOX_acme',
    '_INBOX_acme2.x',
    `inference.cancel.v1.globex.${streamId}`,
    'deliver.v1.globex.alerts',
    '$JS.API.STREAM.PURGE.USAGE',
    '$KV.EPOCH.newest',
    'budget-policy.budgets.v1',
  ];
  it.each(
    [
      'inference.request.v1.acme',
      'inference.job.v1.acme',
      'inference.estimate.v1.acme',
      'outcome.reported.v1.acme',
    ].flatMap((subject) => REPLIES.map((reply) => [reply, subject] as const)),
  )('%s, of %s', async (reply, subject) => {
    for (const body of [chat('stolen'), 'stolen, and no JSON']) acme.publish(subject, body, { reply });
    // The same service answers what comes after it, in order.
    await acme.request(subject, 'no JSON', { timeout: 10_000 });
    await acme.flush();
    await operator.flush();
    expect(spied).toEqual([]);
    expect(seenByVictim).toEqual([]);
  });
});

describe('on its own subjects', () => {
  const withKey = (key: string, more: Record<string, string> = {}) => {
    const h = headers();
    for (const [name, value] of Object.entries({ 'Meritorder-Key': key, ...more })) h.set(name, value);
    return h;
  };

  it('read, spend: a key of globex is none of acme', async () => {
    expect(errorCode(await ask(acme, chat('x'), { headers: withKey(GLOBEX_KEY) }))).toBe('key_invalid');
  });
  it('read, spend: a key of acme is none of globex', async () => {
    const reply = await ask(globex, chat('x'), { org: 'globex', headers: withKey(ACME_KEY) });
    expect(errorCode(reply)).toBe('key_invalid');
  });
  it('a hash of a key is no key', async () => {
    expect(errorCode(await ask(acme, chat('x'), { headers: withKey(sha256(ACME_KEY)) }))).toBe('key_invalid');
  });

  it.each([
    ['a header that names another org', chat('x'), { 'Meritorder-Org': 'globex', 'ce-subject': 'globex' }, ''],
    ["another org's department", chat('x', { metadata: { department: 'secret' } }), {}, 'attribution_conflict'],
    ['another department than the key', chat('x', { metadata: { department: 'support' } }), {}, 'attribution_conflict'],
    ['another customer than the key', chat('x', { metadata: { customer: 'c-2' } }), {}, 'attribution_conflict'],
    ['another tier than the key', chat('x', { metadata: { tier: 'premium' } }), {}, 'attribution_conflict'],
    ['a route that only globex has', chat('x', { model: 'private' }), {}, 'route_unknown'],
    ['a backend that only globex has', chat('x', { model: 'slow' }), {}, 'route_unknown'],
  ])("%s does not widen what acme's key may", async (_what, body, more, code) => {
    const reply = await ask(acme, body, { headers: withKey(ACME_KEY, more as Record<string, string>) });
    expect(errorCode(reply)).toBe(code);
  });

  it.each([
    ["another org's department", { department: 'secret' }, 'department_unknown'],
    ["another org's tier", { tier: 'premium' }, 'tier_unknown'],
  ])('%s is not there without a key either', async (_what, metadata, code) => {
    expect(errorCode(await ask(acme, chat('x', { metadata })))).toBe(code);
  });

  it('an org in the metadata is not who pays', async () => {
    const body = chat('x', { metadata: { department: 'eng', org: 'globex', key: 'globex-all' } });
    const reply = await ask(acme, body);
    if (errorCode(reply) !== '') return expect(errorCode(reply)).toBe('body_invalid');
    const { request_id: id } = reply.json<any>().meritorder;
    const database = await connectDatabase(product.stack.database.url, 'test', 1);
    const rows = () => database.query('select org from attempt where request_id = $1', [id]);
    await waitFor(async () => (await rows()).length === 1, 'the attempt in the books');
    expect(await rows()).toEqual([{ org: 'acme' }]);
    await database.destroy();
  });

  it("cancel: the id of globex's request names nothing of acme", async () => {
    acme.publish(`inference.cancel.v1.acme.${streamId}`);
    acme.publish(`inference.ack.v1.acme.${streamId}`);
    const h = headers();
    h.set('Meritorder-Request', streamId);
    const own = await ask(acme, chat('Write 1 words.'), { headers: h });
    expect(errorCode(own)).toBe('');
    expect(own.json<any>().meritorder.request_id).toBe(streamId);
  });

  it("spend: an idempotency key of globex neither stops acme's request nor shows globex's", async () => {
    const body = chat('Write 1 words.', { meritorder: { idempotency_key: 'the-same' } });
    ofGlobex.add((await ask(globex, body, { org: 'globex' })).json<any>().meritorder.request_id);
    expect(errorCode(await ask(acme, body))).toBe('');
    expect(errorCode(await ask(acme, body))).toBe('request_duplicate');
  });

  it('spend: a message id of globex does not suppress a job of acme', async () => {
    const client = Meritorder.over(acme, 'acme');
    const job = JSON.parse(chat('Write 1 words.'));
    const [theirs, ours] = [await victim.job(job, 'nightly'), await client.job(job, 'nightly')];
    ofGlobex.add(theirs.requestId);
    expect(ours.duplicate).toBe(false);
    expect(ours.requestId).not.toBe(theirs.requestId);
  });

  it("report: an outcome of globex's request is recorded for nobody", async () => {
    const answer = await askAsVictim();
    const recorded: string[] = [];
    operator.subscribe('outcome.recorded.v1.*', { callback: (_e, m) => void recorded.push(m.subject) });
    await operator.flush();
    const outcome = { request_id: answer.meritorder.request_id, kind: 'thumbs' as const, value: true };
    expect((await Meritorder.over(acme, 'acme').report(outcome)).state).toBe('pending');
    await waitFor(async () => (await victim.report(outcome)).state !== 'pending', "globex's own report");
    await waitFor(() => recorded.length > 0, 'it to be told');
    expect(recorded).not.toContain('outcome.recorded.v1.acme');
  });

  it('read: an estimate tells nothing of what only globex may use', async () => {
    const reply = await acme.request(
      'inference.estimate.v1.acme',
      JSON.stringify({ body: JSON.parse(chat('x', { model: 'private' })) }),
      { timeout: 5_000 },
    );
    expect(reply.json<any>().error.code).toBe('route_unknown');
  });
});

describe('after all this', () => {
  it("globex's stream has gone on", async () => {
    const before = chunks;
    await waitFor(() => chunks > before, 'another chunk');
  });

  it('the streams are whole, and the books hold of globex what globex asked for', async () => {
    const database = await connectDatabase(product.stack.database.url, 'test', 1);
    const booked: { request_id: string }[] = await database.query(
      `select request_id from attempt where org = 'globex'`,
    );
    expect(booked.length).toBeGreaterThan(10);
    expect(booked.filter((b) => !ofGlobex.has(b.request_id))).toEqual([]);
    await database.destroy();
    const manager = await jetstreamManager(operator);
    expect((await manager.streams.info('USAGE')).state.messages).toBeGreaterThan(10);
    expect((await askAsVictim()).meritorder.backend).toBe('quick');
  });
});
