import { describe, expect, it } from 'vitest';
import { MESSAGES, chat, post, postJson, readEvents, simulate } from '../for-tests.js';
import { countTokens } from '../text/tokens.js';

describe('POST /v1/messages', () => {
  it('answers with content blocks and disjoint usage', async () => {
    const request = chat('Write 7 words.', { max_tokens: 100, system: 'be brief' });
    const { body, headers } = await postJson(await simulate(), MESSAGES, request);
    expect(body).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 3 + 2 + 2 * 4 + 3,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 7,
      },
    });
    expect(countTokens(body.content[0].text)).toBe(7);
    expect(headers.get('request-id')).toBe(body.id);
  });

  it('ends at max_tokens with the reason max_tokens', async () => {
    const { body } = await postJson(await simulate(), MESSAGES, chat('Write 7 words.', { max_tokens: 3 }));
    expect([body.stop_reason, body.usage.output_tokens]).toEqual(['max_tokens', 3]);
  });

  it('streams in its order of events, with usage that is cumulative', async () => {
    const request = chat('Write 20 words.', { max_tokens: 100, stream: true });
    const events = await readEvents(await post(await simulate(), MESSAGES, request));
    expect(events.map(({ event }) => event)).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(events.every(({ event, data }) => event === data.type)).toBe(true);
    expect(events[0]!.data.message).toMatchObject({ content: [], usage: { input_tokens: 10, output_tokens: 1 } });
    const text = events.slice(3, 6).map(({ data }) => data.delta.text);
    expect(countTokens(text.join(''))).toBe(20);
    expect(events[7]!.data).toMatchObject({
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { input_tokens: 10, output_tokens: 20 },
    });
  });

  it('reads blocks of text, images, tool use and tool results', async () => {
    const { body } = await postJson(await simulate({ tokensPerImage: 50 }), MESSAGES, {
      model: 'm',
      max_tokens: 10,
      system: [{ type: 'text', text: 'one two' }],
      messages: [
        { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'f', input: { a: 1 } }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'three' }] },
            { type: 'image', source: {} },
            { type: 'text', text: 'Write 1 word.' },
          ],
        },
      ],
    });
    expect(body.usage).toMatchObject({ input_tokens: 2 + 1 + 1 + 3 + 50 + 3 * 4 + 3, output_tokens: 1 });
  });

  it.each([
    [chat('hi'), 400, 'invalid_request_error', /^max_tokens: /],
    [{ model: 'm', max_tokens: 5, messages: [{ role: 'tool', content: 'x' }] }, 400, 'invalid_request_error', /role/],
    [chat('hi', { max_tokens: 5, model: 'x' }), 404, 'not_found_error', /model/],
    ['{', 400, 'invalid_request_error', /JSON/],
    [chat('x x x x x x', { max_tokens: 5 }), 400, 'invalid_request_error', /context length/],
  ])('refuses %j with %i %s', async (request, status, type, message) => {
    const answer = await postJson(await simulate({ contextTokens: 15 }), MESSAGES, request);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ type: 'error', error: { type } });
    expect(answer.body.error.message).toMatch(message);
  });

  it.each([
    [{ errorRate: 1, errorStatuses: [529 as const] }, 529, 'overloaded_error'],
    [{ errorRate: 1, errorStatuses: [500 as const] }, 500, 'api_error'],
  ])('%j gives %i %s', async (faults, status, type) => {
    const answer = await postJson(await simulate(faults), MESSAGES, chat('hi', { max_tokens: 5 }));
    expect([answer.status, answer.body.error.type]).toEqual([status, type]);
  });
});
