import { describe, expect, it } from 'vitest';
import { AnswerStream } from './answer-stream.js';
import { FakeSubscription, type FakeMessage } from './nats.for-tests.js';

const receipt = { request_id: 'r-1', backend: 'b' };
const delta = (content: string | null) => ({ choices: content === null ? [] : [{ index: 0, delta: { content } }] });
const chunk = (sequence: number, content: string | null = `c${sequence} `, more: Partial<FakeMessage> = {}) => ({
  headers: { 'Meritorder-Seq': String(sequence) },
  body: delta(content),
  ...more,
});
const last = (sequence: number, status = 'ok'): FakeMessage => ({
  headers: { 'Meritorder-Seq': String(sequence), 'Meritorder-Status': status },
  body: { ...delta(null), meritorder: receipt },
});

function streamOf(
  messages: FakeMessage[],
  { silenceMs = 30_000, signal }: { silenceMs?: number; signal?: AbortSignal } = {},
) {
  const subscription = new FakeSubscription(...messages);
  const happened: string[] = [];
  const stream = new AnswerStream({
    requestId: 'r-1',
    subscription: subscription.asNats(),
    cancel: () => void happened.push('cancel'),
    over: () => void happened.push('over'),
    silenceMs,
    signal,
  });
  return { stream, subscription, happened };
}

describe('a streamed answer', () => {
  it('is its chunks in order, and then its receipt; nothing is cancelled', async () => {
    const { stream, subscription, happened } = streamOf([chunk(0), chunk(1, null), chunk(2), last(3)]);
    expect(() => stream.receipt).toThrow('read it to its end');
    expect(await stream.text()).toBe('c0 c2 ');
    expect(stream.receipt).toEqual(receipt);
    expect(subscription.ended).toBe(true);
    expect(happened).toEqual(['over']);
  });

  it('acknowledges a chunk once its reader comes for the next', async () => {
    const acknowledged: number[] = [];
    const { stream } = streamOf([
      chunk(0, 'a', { onRespond: () => acknowledged.push(0) }),
      chunk(1, 'b', { onRespond: () => acknowledged.push(1) }),
      last(2),
    ]);
    const seen: number[][] = [];
    for await (const _chunk of stream) seen.push([...acknowledged]);
    expect(seen).toEqual([[], [0]]);
    expect(acknowledged).toEqual([0, 1]);
  });

  it('can be read once', async () => {
    const { stream } = streamOf([last(0)]);
    await stream.text();
    await expect(stream.text()).rejects.toThrow('an answer can be read once');
  });

  it('that was cancelled is an error, and what it cost is there', async () => {
    const { stream, happened } = streamOf([chunk(0), last(1, 'cancelled')]);
    await expect(stream.text()).rejects.toMatchObject({ code: 'cancelled', status: 499, requestId: 'r-1' });
    expect(stream.receipt).toEqual(receipt);
    expect(happened).toEqual(['over']);
  });

  it('that is refused is the refusal, and nothing is left to cancel', async () => {
    const { stream, happened } = streamOf([
      { headers: { 'Nats-Service-Error': 'route_unknown', 'Nats-Service-Error-Code': '404' } },
    ]);
    await expect(stream.text()).rejects.toMatchObject({ code: 'route_unknown', status: 404 });
    expect(happened).toEqual(['over']);
  });

  it.each<[string, FakeMessage[], string]>([
    ['whose chunk is missing', [chunk(0), chunk(2)], 'chunk 1 is missing: 2 came in its place'],
    ['whose chunk comes twice', [chunk(0), chunk(0)], 'chunk 1 is missing: 0 came in its place'],
    ['into which another message comes', [chunk(0), { headers: { 'Meritorder-Seq': 'x' } }], 'chunk 1 is missing'],
  ])('%s is an error, and the request is cancelled', async (_name, messages, why) => {
    const { stream, happened } = streamOf(messages);
    await expect(stream.text()).rejects.toMatchObject({ code: 'chunk_lost', message: expect.stringContaining(why) });
    expect(happened).toEqual(['cancel', 'over']);
  });

  it('whose end comes too early is an error, although nothing is left to cancel', async () => {
    const { stream, happened } = streamOf([chunk(0), last(2)]);
    await expect(stream.text()).rejects.toMatchObject({ code: 'chunk_lost' });
    expect(() => stream.receipt).toThrow('no receipt yet');
    expect(happened).toEqual(['over']);
  });

  it('that falls silent is an error, and the request is cancelled', async () => {
    const { stream, happened } = streamOf([chunk(0)], { silenceMs: 5 });
    await expect(stream.text()).rejects.toMatchObject({ code: 'no_answer', message: 'nothing came for 5 ms' });
    expect(happened).toEqual(['cancel', 'over']);
  });

  it('whose connection ends is an error', async () => {
    const { stream, subscription } = streamOf([chunk(0)]);
    subscription.unsubscribe();
    await expect(stream.text()).rejects.toMatchObject({ code: 'closed' });
  });

  it('whose connection ends while its reader is busy is the same error, not one of NATS', async () => {
    const gone = (): never => {
      throw new Error('closed connection');
    };
    const { stream, subscription } = streamOf([chunk(0, 'a', { onRespond: gone })]);
    const read = (async () => {
      for await (const _chunk of stream) subscription.unsubscribe();
    })();
    await expect(read).rejects.toMatchObject({ code: 'closed' });
  });

  it('that its reader leaves is cancelled', async () => {
    const { stream, subscription, happened } = streamOf([chunk(0), chunk(1)]);
    for await (const _chunk of stream) break;
    expect(happened).toEqual(['cancel', 'over']);
    expect(subscription.ended).toBe(true);
  });

  it.each(['before it is read', 'while it waits for a chunk', 'while its reader is busy'])(
    'whose signal is aborted %s ends with the reason, cancelled once',
    async (when) => {
      const abort = new AbortController();
      const reason = new Error('enough');
      const { stream, happened } = streamOf([chunk(0)], { signal: abort.signal });
      if (when === 'before it is read') abort.abort(reason);
      const read = (async () => {
        for await (const _chunk of stream)
          if (when === 'while its reader is busy') abort.abort(reason);
          else setImmediate(() => abort.abort(reason));
      })();
      await expect(read).rejects.toBe(reason);
      expect(happened).toEqual(['cancel', 'over']);
    },
  );

  it('that is over is changed by no signal and no leaving', async () => {
    const abort = new AbortController();
    const { stream, happened } = streamOf([chunk(0), last(1)], { signal: abort.signal });
    await stream.text();
    abort.abort(new Error('too late'));
    stream.leave(new Error('too late'));
    expect(stream.receipt).toEqual(receipt);
    expect(happened).toEqual(['over']);
  });
});
