import { describe, expect, it } from 'vitest';
import { post, postJson, simulate } from '../for-tests.js';
import { countTokens } from '../text/tokens.js';

const WHOLE = '/v1beta/models/m:generateContent';
const STREAM = '/v1beta/models/m:streamGenerateContent?alt=sse';
const ask = (text: string, maxOutputTokens = 100, more: object = {}) => ({
  contents: [{ role: 'user', parts: [{ text }] }],
  generationConfig: { maxOutputTokens },
  ...more,
});

describe('POST /v1beta/models/NAME', () => {
  it('answers with a candidate and with counts that add up to the total', async () => {
    const systemInstruction = { parts: [{ text: 'be brief' }] };
    const simulator = await simulate();
    const { body } = await postJson(simulator, WHOLE, ask('Write 7 words.', 100, { systemInstruction }));
    const prompt = 3 + 2 + 2 * 4 + 3;
    expect(body).toMatchObject({
      candidates: [{ content: { role: 'model' }, finishReason: 'STOP' }],
      usageMetadata: { promptTokenCount: prompt, candidatesTokenCount: 7, totalTokenCount: prompt + 7 },
      modelVersion: 'm',
    });
    expect(countTokens(body.candidates[0].content.parts[0].text)).toBe(7);
    expect(simulator.invoice().lines[0]).toMatchObject({
      callId: body.responseId,
      inputTokens: prompt,
      outputTokens: 7,
    });
  });

  it('streams blocks that count all so far; the last one has the reason', async () => {
    const response = await post(await simulate({ wordsPerChunk: 4 }), STREAM, ask('Write 20 words.', 10));
    const events = (await response.text()).split('\r\n\r\n').filter((block) => block !== '');
    const blocks = events.map((block) => JSON.parse(block.slice('data: '.length)));
    expect(blocks.map((b) => b.usageMetadata.candidatesTokenCount)).toEqual([4, 8, 10, 10]);
    expect(blocks.map((b) => b.candidates[0].finishReason)).toEqual([undefined, undefined, undefined, 'MAX_TOKENS']);
  });

  it('has what is cached inside the prompt', async () => {
    const simulator = await simulate({ promptCache: true });
    const long = `${Array.from({ length: 200 }, (_, i) => `word${i}`).join(' ')} Write 1 word.`;
    await postJson(simulator, WHOLE, ask(long));
    const { body } = await postJson(simulator, WHOLE, ask(long));
    const [, line] = simulator.invoice().lines;
    expect(line!.cachedInputTokens).toBeGreaterThan(0);
    expect(body.usageMetadata).toMatchObject({
      promptTokenCount: line!.inputTokens + line!.cachedInputTokens,
      cachedContentTokenCount: line!.cachedInputTokens,
    });
  });

  it.each([
    ['/v1beta/models/x:generateContent', ask('x'), 404, 'NOT_FOUND'],
    [WHOLE, { contents: [{ role: 'system', parts: [{ text: 'x' }] }] }, 400, 'INVALID_ARGUMENT'],
    [WHOLE, ask('x x x x x x x x x x', 5), 400, 'INVALID_ARGUMENT'],
  ])('%s refuses %j with %i %s', async (path, body, code, status) => {
    const answer = await postJson(await simulate({ contextTokens: 15 }), path, body);
    expect(answer).toMatchObject({ status: code, body: { error: { code, status } } });
  });
});
