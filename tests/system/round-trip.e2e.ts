import { SCRIPTS } from '@meritorder/counters';
import { stopChild } from '@meritorder/launcher';
import { waitFor } from '@meritorder/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, chat, errorCode, startProduct, type Product } from './harness.js';
import { readNats, readRedis, WireTap, type Passed } from './wire-tap.js';

const log: Passed[] = [];
const taps: WireTap[] = [];
let product: Product;
let app: NatsConnection;

beforeAll(async () => {
  product = await startProduct({
    backends: [{ id: 'small' }, { id: 'large' }],
    config: {
      budgets: [
        { id: 'org-month', selector: { org: 'acme' }, window: 'month', limitUsd: '100' },
        { id: 'eng-day', selector: { org: 'acme', department: 'eng' }, window: 'day', limitUsd: '100' },
        { id: 'account', selector: { org: 'acme', provider: 'simco' }, window: 'month', limitUsd: '100' },
      ],
    },
  });
  const { stack } = product;
  // The only router from now on, and all that it says to a server or hears from one passes here.
  for (const router of stack.of('router')) await stopChild(router.child);
  const [nats, redis] = [stack.nats.url, stack.redis.url];
  const natsTap = await WireTap.open(nats, readNats, readNats, log);
  const redisTap = await WireTap.open(redis, readRedis, undefined, log);
  taps.push(natsTap, redisTap);
  stack.nats.url = natsTap.url;
  stack.redis.url = redisTap.url;
  await stack.startService('router', 1);
  stack.nats.url = nats;
  stack.redis.url = redis;
  app = await product.app();
});
afterAll(async () => {
  await product?.stop();
  for (const tap of taps) tap.close();
});

/** What a router says whether requests come or not: it lives, it waits for jobs, it looks whose Redis this is and whether it knows all keys. */
function isBackground([verb, subject = '']: string[]): boolean {
  if (verb === 'PING' || verb === 'PONG') return true;
  if (subject.startsWith('$JS.API.CONSUMER.MSG.NEXT.') || subject === '$JS.API.STREAM.INFO.KV_KEYS') return true;
  // A worker has asked for an earlier attempt: this one's has not heard of it yet.
  if (subject.startsWith('_INBOX_provider-worker.')) return true;
  return `${verb} ${subject}` === 'info server' || verb === 'hmget';
}

/** What is kept of an org is read once when it is first heard of, behind the requests: its lengths of answers; its qualities and its conversions. */
const readsOfOrg = (): number[] =>
  ['KV_ESTIMATES', 'KV_LEARNING'].map(
    (bucket) => log.filter(({ words }) => words[1] === `$JS.API.STREAM.MSG.GET.${bucket}`).length,
  );

const records = (): number =>
  log.filter(({ direction, words }) => direction === 'out' && words[1]?.startsWith('routing.decision-made.v1.')).length;

it('from a request to the message for the worker there is one round trip to Redis, and nothing else leaves the router', async () => {
  // The first one also brings the script to a Redis that does not have it yet.
  log.length = 0;
  expect(errorCode(await ask(app, chat('first')))).toBe('');
  await waitFor(() => records() > 0, 'the record of the first decision');
  await waitFor(() => `${readsOfOrg()}` === '1,2', 'what is kept of the org');
  let undisturbed = 0;
  for (let i = 0; i < 20; i++) {
    log.length = 0;
    const reply = await ask(app, chat(`question ${i}`, { metadata: { department: 'eng' } }));
    expect(errorCode(reply)).toBe('');
    const came = log.findIndex(
      ({ direction, words }) => direction === 'in' && words[1] === 'inference.request.v1.acme',
    );
    const went = log.findIndex(({ direction, words }) => direction === 'out' && words[1]?.startsWith('work.v1.'));
    expect(came).toBeGreaterThanOrEqual(0);
    expect(went).toBeGreaterThan(came);
    const left = log.slice(came + 1, went).filter(({ direction }) => direction === 'out');
    const own = left.map(({ words }) => words).filter((words) => !isBackground(words));
    expect(own.map((words) => words.slice(0, 2))).toEqual([['evalsha', SCRIPTS.reserve.sha1]]);
    // All of its budgets were in it.
    for (const budget of ['org-month', 'eng-day', 'account']) expect(own[0]!.join(' ')).toContain(budget);
    if (left.length === 1) undisturbed++;
    // Of an earlier decision it may leave at any time.
    await waitFor(() => records() > 0, 'the record of the decision');
  }
  // So no request waits for what the background says.
  expect(undisturbed).toBeGreaterThan(0);
});

it("the decision's record leaves the router after the request has", async () => {
  log.length = 0;
  await ask(app, chat('what was decided', { metadata: { department: 'eng' } }));
  await waitFor(() => records() > 0, 'the record of the decision');
  const out = log.filter(({ direction }) => direction === 'out').map(({ words }) => words[1] ?? '');
  const work = out.findIndex((subject) => subject.startsWith('work.v1.'));
  const record = out.findIndex((subject) => subject.startsWith('routing.decision-made.v1.'));
  expect(work).toBeGreaterThanOrEqual(0);
  expect(record).toBeGreaterThan(work);
});
