import { EventStreamCodec } from '@smithy/eventstream-codec';
import { describe, expect, it } from 'vitest';
import { post, postJson, simulate } from '../for-tests.js';
import { countTokens } from '../text/tokens.js';

const WHOLE = '/model/m/converse';
const ask = (text: string, maxTokens = 100, more: object = {}) => ({
  messages: [{ role: 'user', content: [{ text }] }],
  inferenceConfig: { maxTokens },
  ...more,
});
const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString('utf8'),
  (text) => new TextEncoder().encode(text),
);

/** Every frame, its checksums proved. */
function readFrames(bytes: Buffer): [string, any][] {
  const frames: [string, any][] = [];
  for (let from = 0; from < bytes.length;) {
    const length = bytes.readUInt32BE(from);
    const { headers, body } = codec.decode(bytes.subarray(from, from + length));
    frames.push([headers[':event-type']!.value as string, JSON.parse(Buffer.from(body).toString('utf8'))]);
    from += length;
  }
  return frames;
}

describe('POST /model/NAME', () => {
  it('answers with blocks, and with what is cached beside the input', async () => {
    const simulator = await simulate({ promptCache: true });
    const long = `${Array.from({ length: 200 }, (_, i) => `word${i}`).join(' ')} Write 7 words.`;
    const system = [{ text: 'be brief' }, { cachePoint: { type: 'default' } }];
    await postJson(simulator, WHOLE, ask(long, 100, { system }));
    const { body, headers } = await postJson(simulator, WHOLE, ask(long, 100, { system }));
    const [first, line] = simulator.invoice().lines;
    expect(first!.cacheWriteTokens).toBeGreaterThan(0);
    expect(line!.cachedInputTokens).toBeGreaterThan(0);
    expect(body).toMatchObject({
      output: { message: { role: 'assistant' } },
      stopReason: 'end_turn',
      usage: {
        inputTokens: line!.inputTokens,
        outputTokens: 7,
        totalTokens: line!.inputTokens + line!.cachedInputTokens + line!.cacheWriteTokens + 7,
        cacheReadInputTokens: line!.cachedInputTokens,
        cacheWriteInputTokens: line!.cacheWriteTokens,
      },
    });
    expect(countTokens(body.output.message.content[0].text)).toBe(7);
    expect(headers.get('x-amzn-requestid')).toBe(line!.callId);
  });

  it('streams binary frames whose last one has the usage', async () => {
    const response = await post(await simulate({ wordsPerChunk: 4 }), `${WHOLE}-stream`, ask('Write 20 words.', 10));
    expect(response.headers.get('content-type')).toBe('application/vnd.amazon.eventstream');
    const frames = readFrames(Buffer.from(await response.arrayBuffer()));
    expect(frames.map(([name]) => name)).toEqual([
      'messageStart',
      'contentBlockDelta',
      'contentBlockDelta',
      'contentBlockDelta',
      'contentBlockStop',
      'messageStop',
      'metadata',
    ]);
    expect(frames.at(-2)![1]).toEqual({ stopReason: 'max_tokens' });
    expect(frames.at(-1)![1].usage).toMatchObject({ inputTokens: 3 + 4 + 3, outputTokens: 10 });
  });

  it.each([
    ['/model/x/converse', ask('x'), 404, 'ResourceNotFoundException'],
    [WHOLE, { messages: [{ role: 'user', content: [{ video: {} }] }] }, 400, 'ValidationException'],
    [WHOLE, ask('x x x x x x x x x x', 5), 400, 'ValidationException'],
  ])('%s refuses %j with %i %s', async (path, body, status, name) => {
    const answer = await postJson(await simulate({ contextTokens: 15 }), path, body);
    expect(answer).toMatchObject({ status, body: { __type: name } });
  });
});
