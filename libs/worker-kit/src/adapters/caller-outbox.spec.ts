import { expect, it } from 'vitest';
import { CallerOutbox } from './caller-outbox.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('what came in one turn of the event loop goes out together, in order, whichever callbacks it came in', async () => {
  const sent: string[][] = [];
  let batch: string[] | undefined;
  const outbox = new CallerOutbox({
    isClosed: () => false,
    publish(_subject, body) {
      // As the client does it: written when the callback ends.
      if (!batch) queueMicrotask(() => void (sent.push(batch!), (batch = undefined)));
      (batch ??= []).push(String(body));
    },
  });
  outbox.publish('a', '1', {});
  await Promise.resolve();
  outbox.publish('b', '2', {});
  process.nextTick(() => outbox.publish('a', '3', {}));
  await turn();
  await turn();
  expect(sent).toEqual([['1', '2', '3']]);
  outbox.publish('a', '4', {});
  await turn();
  await turn();
  expect(sent).toEqual([['1', '2', '3'], ['4']]);
});

it('after the connection nothing is sent, and nothing breaks', async () => {
  const outbox = new CallerOutbox({
    isClosed: () => true,
    publish: () => {
      throw new Error('closed');
    },
  });
  outbox.publish('a', '1', {});
  await turn();
});
