import { MeritorderConfig, STREAMS } from '@meritorder/contracts';
import { waitFor } from '@meritorder/testing';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { followStream, streamState, type Bus, type Following } from './index.js';
import { ServerWithUsers } from './server-with-users.for-tests.js';

const EVENTS = STREAMS.events.name;
const world = new ServerWithUsers(
  MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: [
      {
        id: 'gpt',
        kind: 'cloud',
        provider: 'openai',
        model: 'gpt',
        baseUrl: 'http://127.0.0.1:1',
        contextTokens: 100_000,
        maxOutputTokens: 16_000,
      },
    ],
  }),
);
let metering: Bus;
let router: Bus;
let heard: string[] = [];
const followings: Following[] = [];
const errors: Error[] = [];

beforeAll(async () => {
  await world.start();
  metering = await world.as('metering');
  router = await world.as('router');
});
afterEach(() => {
  for (const following of followings.splice(0)) following.stop();
  heard = [];
});
afterAll(() => world.stop());

async function say(...words: string[]): Promise<number> {
  let last = 0;
  for (const word of words) last = (await metering.jetstream.publish('outcome.recorded.v1.acme', word)).seq;
  return last;
}
function hear(fromSequence: number): void {
  const following = followStream(
    router,
    EVENTS,
    fromSequence,
    ({ subject, data, sequence }) =>
      void heard.push(`${sequence - fromSequence} ${subject.split('.')[0]} ${new TextDecoder().decode(data)}`),
    (error) => void errors.push(error),
  );
  followings.push(following);
}

it('hands over what came before it was asked, and what comes later, in order and once', async () => {
  const last = await say('one', 'two');
  await metering.jetstream.publish('metering.usage-rated.v1.acme', 'and a half');
  hear(last);
  await waitFor(() => heard.length === 2, 'what was there');
  await say('three', 'four');
  await waitFor(() => heard.length === 4, 'what came later');
  expect(heard).toEqual(['0 outcome two', '1 metering and a half', '2 outcome three', '3 outcome four']);
});

it('goes on where it was when its connection was lost, and misses nothing of what was said meanwhile', async () => {
  const { lastSequence } = await streamState(router, EVENTS);
  hear(lastSequence + 1);
  await say('before');
  await waitFor(() => heard.length === 1, 'the first');
  await router.nats.reconnect();
  await say('meanwhile', 'and after');
  await waitFor(() => heard.length === 3, 'the rest');
  expect(heard.map((line) => line.split(' ').slice(2).join(' '))).toEqual(['before', 'meanwhile', 'and after']);
});

it('says which stream it is', async () => {
  const before = await streamState(router, EVENTS);
  const last = await say('one more');
  expect(await streamState(router, EVENTS)).toEqual({ createdAt: before.createdAt, lastSequence: last });
});
