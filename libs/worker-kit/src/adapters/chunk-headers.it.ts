import { headers } from '@nats-io/transport-node';
import { HEADERS } from '@meritorder/contracts';
import { connectBus } from '@meritorder/messaging';
import { useNats } from '@meritorder/testing/vitest';
import { expect, it } from 'vitest';
import { ChunkHeaders } from './chunk-headers.js';

const nats = useNats();

it('arrive as those that the client makes, in whose place they are', async () => {
  const bus = await connectBus({ url: nats.url, name: 'worker', inboxPrefix: '_INBOX_w' });
  const subscription = bus.nats.subscribe('chunks');
  const terms = { requestId: 'request-1', attemptId: 'attempt-1' };
  const own = headers();
  own.set(HEADERS.request, terms.requestId);
  own.set(HEADERS.attempt, terms.attemptId);
  own.set(HEADERS.seq, '7');
  bus.nats.publish('chunks', '{}', { headers: own });
  bus.nats.publish('chunks', '{}', { headers: new ChunkHeaders(terms).of(7), reply: 'ack' });
  const heard: [string, string][][] = [];
  for await (const message of subscription) {
    expect(message.string()).toBe('{}');
    heard.push([...message.headers!].map(([name, [value]]) => [name, value!]));
    if (heard.length === 2) break;
  }
  expect(heard[1]).toEqual(heard[0]);
  expect(heard[0]).toHaveLength(3);
  await bus.close();
});
