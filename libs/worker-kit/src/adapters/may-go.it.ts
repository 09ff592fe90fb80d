import type { Msg } from '@nats-io/transport-node';
import { connectBus, type Bus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { NatsRouterLink } from './nats-links.js';

const server = useNats();
let worker: Bus;
let router: Bus;
let asked: Msg[];
let work: Msg;

beforeAll(async () => {
  const open = (name: string): Promise<Bus> => connectBus({ url: server.url, name, inboxPrefix: `_INBOX_${name}` });
  [worker, router] = await Promise.all([open('worker'), open('router')]);
  router.nats.subscribe('attempts.*', { callback: (_error, m) => void asked.push(m) });
  await router.nats.flush();
});
afterAll(() => Promise.all([worker?.close(), router?.close()]));
beforeEach(() => {
  asked = [];
  work = { reply: 'attempts.a1' } as Msg;
});

const isAsked = async (): Promise<Msg> => {
  for (;;) {
    if (asked[0]) return asked[0];
    await new Promise((r) => setTimeout(r, 5));
  }
};

it('a worker that is told by itself goes, and asks nothing', async () => {
  const before = new NatsRouterLink(worker, work);
  before.goes();
  expect(await before.mayGo('a1')).toEqual({ type: 'go' });
  const meanwhile = new NatsRouterLink(worker, work);
  const answer = meanwhile.mayGo('a1');
  meanwhile.goes();
  expect(await answer).toEqual({ type: 'go' });
  await worker.nats.flush();
  await router.nats.flush();
  expect(asked).toEqual([]);
});

it.each([{ type: 'go' }, { type: 'stop', reason: 'hold-gone' }] as const)(
  'a worker that is not told asks, and hears $type',
  async (reply) => {
    const answer = new NatsRouterLink(worker, work).mayGo('a1');
    const ready = await isAsked();
    expect(ready.json()).toEqual({ type: 'ready', attemptId: 'a1' });
    ready.respond(JSON.stringify(reply));
    expect(await answer).toEqual(reply);
  },
);

it('one that is told while it waits for its answer goes at once', async () => {
  const link = new NatsRouterLink(worker, work);
  const answer = link.mayGo('a1');
  await isAsked();
  link.goes();
  expect(await answer).toEqual({ type: 'go' });
});

it('what waits for a batch is asked for at once', async () => {
  const answer = new NatsRouterLink(worker, work, false).mayGo('a1');
  const ready = await isAsked();
  ready.respond(JSON.stringify({ type: 'go' }));
  expect(await answer).toEqual({ type: 'go' });
});
