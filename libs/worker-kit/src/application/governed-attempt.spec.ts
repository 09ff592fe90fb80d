import { describe, expect, it } from 'vitest';
import type { RouterReply } from '@meritorder/contracts';
import { attempt, block, named, terms, usage, type World } from './attempt-world.for-tests.js';
import type { UpstreamRequest } from './ports.js';

const HOLD = { heldTokens: 40, maxTokens: 400, sliceTokens: 20 };
const bound = (tokens: number) => ({ cashNanos: String(tokens * 10), fullNanos: String(tokens * 20) });
const grants: World['extend'] = ({ outputTokens }) => ({ type: 'extended', outputTokens, bound: bound(outputTokens) });
const NO_ROOM: RouterReply = {
  type: 'not-extended',
  cause: 'budget',
  budget: 'soft',
  window: '2026-11',
  message: 'no room',
};
const governed = (world: World, hold: Partial<typeof HOLD> = {}) => {
  const chunks: string[] = [];
  const work = {
    inputTokensExpected: 10,
    ...world.work,
    terms: { ...terms, bound: bound(40), governed: { ...HOLD, ...hold } },
  };
  const onChunk: World['onChunk'] = (seq, abort, json, now) => (
    chunks.push(json),
    world.onChunk?.(seq, abort, json, now)
  );
  return attempt({ stream: true, ...world, work, onChunk }).then((seen) => ({ ...seen, chunks }));
};
/** As it comes from a backend: what is read is what is passed on. */
const streams = (chunks: number) =>
  async function* (request: UpstreamRequest, _abort: AbortController): AsyncGenerator<string, void> {
    for (let i = 0; i < chunks; i++) {
      const chunk = { ...named, choices: [{ index: 0, delta: { content: 'hello world ' }, finish_reason: null }] };
      request.reader.feed(chunk);
      yield JSON.stringify(chunk);
    }
    request.reader.feed({ ...named, choices: [], usage: block });
    request.reader.end();
  };
/** Notes when the stream is left. */
const watched = (chunks: number, log: string[]) =>
  async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
    try {
      yield* streams(chunks)(request, abort);
      log.push('complete');
    } finally {
      log.push('left');
    }
  };

describe('an attempt whose hold does not cover its answer', () => {
  it('asks for more before it is used up, and goes on', async () => {
    const { log, sent, closed, finished } = await governed({ upstream: streams(100), extend: grants });
    const asked = sent.flatMap((e) => (e.type === 'extend' ? [e.outputTokens] : []));
    expect(asked[0]).toBeLessThanOrEqual(HOLD.heldTokens + 2 * HOLD.sliceTokens);
    expect(asked).toEqual(asked.toSorted((a, b) => a - b));
    // Each word is about a token, and all of them were held before they came.
    expect(asked.at(-1)).toBeGreaterThanOrEqual(200);
    expect(log.filter((l) => l.startsWith('chunk'))).toHaveLength(100);
    expect(closed[0]).toMatchObject({
      outcome: 'finished',
      usage,
      bound: bound(asked.at(-1)!),
      governed: { heldTokens: asked.at(-1) },
    });
    expect(finished[0].meritorder.ended_by).toBeUndefined();
  });

  it('ends cleanly when a budget refuses: aborted upstream, `length`, and a receipt that says why', async () => {
    const wire: string[] = [];
    const { log, chunks, closed, finished } = await governed({ upstream: watched(100, wire), extend: () => NO_ROOM });
    expect(wire).toEqual(['left']);
    expect(JSON.parse(chunks.at(-1)!)).toMatchObject({
      id: 'call-1',
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta: {}, finish_reason: 'length' }],
    });
    expect(log.slice(-3)).toEqual(['closed cancelled', 'answer ok', 'finished']);
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', code: 'budget', sent: true, usageBasis: 'estimated' });
    // No time passes here, so there is no speed to look ahead by: it is noticed at the first chunk beyond.
    expect(closed[0]!.usage!.outputTokens).toBeLessThanOrEqual(HOLD.heldTokens + 3);
    expect(finished[0].meritorder).toMatchObject({
      attempts: [{ outcome: 'finished', code: 'budget' }],
      cost: { basis: 'unconfirmed', usd: '0.0000004' },
      ended_by: { cause: 'budget', budget: 'soft', window: '2026-11', message: 'no room' },
    });
  });

  it.each<[string, World['extend'], RegExp]>([
    ['no router answers', () => undefined, /No router answered/],
    [
      'the epoch is over',
      () => ({ type: 'not-extended', cause: 'closed', message: 'the counters are being rebuilt' }),
      /being rebuilt/,
    ],
  ])('ends cleanly when %s, but not before what it has is used up', async (_name, extend, why) => {
    const { chunks, closed, finished } = await governed({ upstream: streams(100), extend });
    expect(chunks.length).toBeGreaterThan(10);
    expect(closed[0]).toMatchObject({ outcome: 'cancelled', code: 'unextended', bound: bound(40) });
    expect(finished[0].meritorder.ended_by).toEqual({ cause: 'unextended', message: expect.stringMatching(why) });
  });

  it('ends every choice that is not over yet', async () => {
    const ends = '{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}';
    const upstream = async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
      yield ends;
      yield* streams(100)(request, abort);
    };
    const { chunks } = await governed({ upstream, extend: () => NO_ROOM, work: { body: { n: 3 } } });
    expect(JSON.parse(chunks.at(-1)!).choices.map((c: { index: number }) => c.index)).toEqual([0, 2]);
  });

  it('that is complete anyway keeps its usage', async () => {
    const upstream = async function* (request: UpstreamRequest): AsyncGenerator<string, void> {
      request.reader.feed({ ...named, choices: [{ index: 0, delta: { content: 'hello world '.repeat(50) } }] });
      yield '{"choices":[{"index":0,"delta":{"content":"..."},"finish_reason": "stop"}]}';
      request.reader.feed({ ...named, choices: [], usage: block });
      request.reader.end();
    };
    const { closed, finished } = await governed({ upstream, extend: () => NO_ROOM });
    expect(closed[0]).toMatchObject({ outcome: 'finished', usage, usageBasis: 'reported' });
    expect(finished[0].meritorder.ended_by).toBeUndefined();
  });

  it('that its caller cancels meanwhile is cancelled', async () => {
    const extend: World['extend'] = (_event, abort) => (abort.abort('cancelled'), NO_ROOM);
    const upstream = async function* (request: UpstreamRequest, abort: AbortController): AsyncGenerator<string, void> {
      for await (const json of streams(100)(request, abort)) {
        if (abort.signal.aborted) throw new Error('aborted');
        yield json;
      }
    };
    const { log } = await governed({ upstream, extend });
    expect(log.slice(-3)).toEqual(['closed cancelled', 'answer cancelled', 'finished']);
  });

  it('asks for nothing where the hold covers all that the request allows', async () => {
    const { sent } = await governed({ upstream: streams(300) }, { heldTokens: 400 });
    expect(sent.filter((e) => e.type === 'extend')).toEqual([]);
  });
});
