import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CallerOutbox, GATHERED_MS } from './caller-outbox.js';

const OPEN = { isClosed: () => false, isDraining: () => false };
const turn = () => new Promise((resolve) => setImmediate(resolve));

it('what came in one turn of the event loop goes out together, in order, whichever callbacks it came in', async () => {
  const sent: string[][] = [];
  let batch: string[] | undefined;
  const outbox = new CallerOutbox({
    ...OPEN,
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

describe('a later chunk', () => {
  const written: string[][] = [];
  let outbox: CallerOutbox;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] });
    written.length = 0;
    const nats = {
      ...OPEN,
      publish: (_: string, body: unknown) => void written.at(-1)!.push(String(body)),
    };
    outbox = new CallerOutbox(nats);
  });
  afterEach(() => void vi.useRealTimers());
  const after = (ms: number): string[] => {
    written.push([]);
    vi.advanceTimersByTime(ms);
    return written.at(-1)!;
  };

  it('that comes alone waits for nothing', () => {
    for (const body of ['1', '2', '3']) {
      outbox.publish('a', body, {}, true);
      expect(after(0)).toEqual([body]);
      after(GATHERED_MS);
    }
  });

  it('that comes soon after a write goes out with others, no later than GATHERED_MS after it', () => {
    outbox.publish('a', '1', {}, true);
    expect(after(1)).toEqual(['1']);
    outbox.publish('b', '2', {}, true);
    expect(after(1)).toEqual([]);
    outbox.publish('c', '3', {}, true);
    expect(after(GATHERED_MS - 2)).toEqual(['2', '3']);
    expect(after(100)).toEqual([]);
  });

  it('never goes out after what was published later, and what a caller waits for takes it along at once', () => {
    outbox.publish('a', '1', {}, true);
    after(1);
    outbox.publish('a', '2', {}, true);
    outbox.publish('b', 'first of b', {});
    outbox.publish('a', '3', {}, true);
    expect(after(0)).toEqual(['2', 'first of b', '3']);
    expect(after(100)).toEqual([]);
  });
});

it('what waits goes out at once where somebody is about to leave, and once', async () => {
  const sent: string[] = [];
  const outbox = new CallerOutbox({ ...OPEN, publish: (_subject, body) => void sent.push(String(body)) });
  outbox.publish('a', 'the end', {});
  outbox.flush();
  expect(sent).toEqual(['the end']);
  await turn();
  expect(sent).toEqual(['the end']);
});

it.each([
  ['after the connection', { isClosed: () => true }],
  ['while the connection is drained', { isDraining: () => true }],
])('%s nothing is sent, and nothing breaks', async (_when, state) => {
  const outbox = new CallerOutbox({
    ...OPEN,
    ...state,
    publish: () => {
      throw new Error('closed');
    },
  });
  outbox.publish('a', '1', {});
  await turn();
});
