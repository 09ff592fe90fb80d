import { describe, expect, it } from 'vitest';
import { CHAT, chat, post, postJson, readEvents, simulate } from '../for-tests.js';
import { countTokens } from '../text/tokens.js';

describe('POST /v1/chat/completions', () => {
  it('answers with as many words as were asked for, and counts them', async () => {
    const { status, headers, body } = await postJson(await simulate(), CHAT, chat('Please do. Write 27 words.'));
    expect(status).toBe(200);
    expect(body).toMatchObject({
      object: 'chat.completion',
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: 5 + 4 + 3,
        completion_tokens: 27,
        total_tokens: 39,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(body.choices[0].message.content.split(' ')).toHaveLength(27);
    expect(countTokens(body.choices[0].message.content)).toBe(27);
    expect(headers.get('x-request-id')).toBe(body.id);
  });

  it.each(['max_tokens', 'max_completion_tokens'])('ends at %s with the reason length', async (field) => {
    const { body } = await postJson(await simulate(), CHAT, chat('Write 27 words.', { [field]: 10 }));
    expect(body.choices[0].finish_reason).toBe('length');
    expect(body.usage.completion_tokens).toBe(10);
  });

  it('gives n different choices and counts all of them', async () => {
    const { body } = await postJson(await simulate(), CHAT, chat('Write 6 words.', { n: 3 }));
    expect(new Set(body.choices.map((choice: { message: { content: string } }) => choice.message.content)).size).toBe(
      3,
    );
    expect(body.usage.completion_tokens).toBe(18);
  });

  it('counts every text of a request: tools, system, parts, tool calls, images', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const toolCalls = [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a": 1}' } }];
    const { body } = await postJson(await simulate({ tokensPerImage: 100 }), CHAT, {
      model: 'm',
      tools,
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'assistant', content: null, tool_calls: toolCalls },
        { role: 'tool', tool_call_id: 'c1', content: 'forty two' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this? Write 1 word.' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          ],
        },
      ],
    });
    const texts = countTokens(JSON.stringify(tools)) + countTokens(JSON.stringify(toolCalls)) + 2 + 2 + 6;
    expect(body.usage).toMatchObject({ prompt_tokens: texts + 4 * 4 + 3 + 100, completion_tokens: 1 });
  });

  it('streams the same words in chunks, then usage when asked, then [DONE]', async () => {
    const simulator = await simulate({ wordsPerChunk: 4 });
    const asked = chat('Write 10 words.', { stream: true, stream_options: { include_usage: true } });
    const response = await post(simulator, CHAT, asked);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = (await readEvents(response)).map(({ data }) => data);
    expect(events.at(-1)).toBe('[DONE]');
    const [first, ...rest] = events.slice(0, -2);
    expect(first).toMatchObject({ object: 'chat.completion.chunk', usage: null });
    expect(first.choices[0].delta).toEqual({ role: 'assistant', content: '' });
    const pieces = rest.slice(0, -1).map((chunk) => chunk.choices[0].delta.content);
    expect(pieces.map(countTokens)).toEqual([4, 4, 2]);
    expect(rest.at(-1).choices[0]).toEqual({ index: 0, delta: {}, finish_reason: 'stop' });
    expect(events.at(-2)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 },
    });
    const whole = await postJson(simulator, CHAT, chat('Write 10 words.'));
    expect(pieces.join('')).toBe(whole.body.choices[0].message.content);
    expect(new Set(events.slice(0, -1).map(({ id }) => id)).size).toBe(1);
  });

  it('streams choices side by side', async () => {
    const response = await post(await simulate(), CHAT, chat('Write 9 words.', { n: 2, stream: true }));
    const chunks = (await readEvents(response)).slice(0, -1).map(({ data }) => data.choices[0]);
    for (const index of [0, 1]) {
      const text = chunks.filter((choice) => choice.index === index).map((choice) => choice.delta.content ?? '');
      expect(countTokens(text.join(''))).toBe(9);
    }
    expect(chunks.map(({ index }) => index)).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
  });

  it('has no usage in a stream that did not ask for it', async () => {
    const response = await post(await simulate(), CHAT, chat('Write 3 words.', { stream: true }));
    expect(await response.text()).not.toContain('usage');
  });

  it.each([
    ['not json', 400, { type: 'invalid_request_error', param: null }],
    [[], 400, { param: null }],
    [{ messages: [{ role: 'user', content: 'hi' }] }, 400, { param: 'model' }],
    [{ model: 'm', messages: [] }, 400, { param: 'messages' }],
    [{ model: 'm', messages: ['hi'] }, 400, { param: 'messages[0]' }],
    [chat('hi', { model: '' }), 400, { param: 'model' }],
    [chat('hi', { max_tokens: 0 }), 400, { param: 'max_tokens' }],
    [chat('hi', { max_tokens: 1_000_000 }), 400, { param: 'max_tokens' }],
    [chat('hi', { n: 1.5 }), 400, { param: 'n' }],
    [chat('hi', { stream: 'yes' }), 400, { param: 'stream' }],
    [chat('hi', { stream_options: {} }), 400, { param: 'stream_options' }],
    [chat('hi', { model: 'other' }), 404, { code: 'model_not_found', param: 'model' }],
    [chat('hi', { model: 'e' }), 400, { param: 'model' }],
    [chat('word '.repeat(14)), 400, { code: 'context_length_exceeded' }],
    [chat('hi', { max_tokens: 13 }), 400, { code: 'context_length_exceeded' }],
  ])('refuses %j with %i and what is wrong, and charges nothing', async (request, status, error) => {
    const simulator = await simulate(
      { contextTokens: 20 },
      { models: { e: { kind: 'embedding', prices: { input: '1' } } } },
    );
    const answer = await postJson(simulator, CHAT, request);
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatchObject(error);
    expect(typeof answer.body.error.message).toBe('string');
    expect(simulator.invoice().lines).toEqual([]);
  });

  it('clips the answer to the context window where that is configured', async () => {
    const simulator = await simulate({ contextTokens: 30, contextLengthError: false });
    const { body } = await postJson(simulator, CHAT, chat('Write 50 words.', { max_tokens: 50 }));
    expect(body.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 20 });
    expect(body.choices[0].finish_reason).toBe('length');
  });

  it('refuses a body above the limit with 413', async () => {
    const { status, body } = await postJson(await simulate({}, { maxBodyBytes: 1_000 }), CHAT, chat('x'.repeat(5_000)));
    expect([status, body.error.code]).toEqual([413, 'request_too_large']);
  });

  it('wants one of its keys, by either header', async () => {
    const simulator = await simulate({}, { apiKeys: ['sk-a', 'sk-b'] });
    const statusWith = async (headers: Record<string, string>): Promise<number> =>
      (await postJson(simulator, CHAT, chat('hi'), { headers })).status;
    expect(await statusWith({})).toBe(401);
    expect(await statusWith({ authorization: 'Bearer sk-c' })).toBe(401);
    expect(await statusWith({ authorization: 'Bearer sk-b' })).toBe(200);
    expect(await statusWith({ 'x-api-key': 'sk-a' })).toBe(200);
    expect((await fetch(`${simulator.url}/v1/models`)).status).toBe(401);
    expect(simulator.control.stats().refused).toEqual({ 401: 2 });
  });
});
