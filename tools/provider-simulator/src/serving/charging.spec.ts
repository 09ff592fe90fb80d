import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CHAT, MESSAGES, chat, eventually, post, postJson, readEvents, readUntil, simulate } from '../for-tests.js';
import { countTokens } from '../text/tokens.js';

/** The words that a client got, from the raw text of an OpenAI stream. */
function receivedTokens(text: string): number {
  return countTokens([...text.matchAll(/"delta":\{"content":"([^"]*)"/g)].map((match) => match[1]).join(''));
}

describe('what is charged', () => {
  it('is computed by hand: 12 input at 1, 27 output at 10 USD per 1M, 0.000001 USD a request', async () => {
    const simulator = await simulate();
    const headers = { 'x-client-request-id': 'attempt-1' };
    const { body } = await postJson(simulator, CHAT, chat('Please do. Write 27 words.'), { headers });
    expect(simulator.invoice()).toMatchObject({
      provider: 'simulator',
      currency: 'USD',
      totalNanoUsd: '283000',
      lines: [
        {
          callId: body.id,
          clientRequestId: 'attempt-1',
          model: 'm',
          inputTokens: 12,
          cachedInputTokens: 0,
          cacheWriteTokens: 0,
          outputTokens: 27,
          requests: 1,
          usd: '0.000283000', // 12 x 1,000 + 27 x 10,000 + 1,000 nano-USD
          nanoUsd: '283000',
          outcome: 'completed',
        },
      ],
    });
  });

  it.each([
    [1, '10'], // 10 x 1,000 + 500 pico-USD = 10.5 nano-USD: to the even 10
    [3, '12'], // 10 x 1,000 + 1,500 pico-USD = 11.5 nano-USD: to the even 12
  ])('rounds a call once, half to even: %i words are %s nano-USD', async (words, nanoUsd) => {
    const simulator = await simulate({ prices: { input: '0.001', output: '0.0005' } });
    await postJson(simulator, CHAT, chat(`Write ${words} words.`));
    expect(simulator.invoice().lines[0]).toMatchObject({ inputTokens: 10, outputTokens: words, nanoUsd });
  });

  it('is the same streamed, and with the usage left out of the answer', async () => {
    const simulator = await simulate({ omitUsage: 'always' });
    const asked = { stream: true, stream_options: { include_usage: true } };
    expect(JSON.stringify(await postJson(simulator, CHAT, chat('Write 9 words.')))).not.toContain('usage');
    expect(await (await post(simulator, CHAT, chat('Write 9 words.', asked))).text()).not.toContain('usage');
    const anthropic = chat('Write 9 words.', { max_tokens: 50, stream: true });
    expect(await (await post(simulator, MESSAGES, anthropic)).text()).not.toContain('usage');
    expect(simulator.invoice().lines.map(({ nanoUsd }) => nanoUsd)).toEqual(['101000', '101000', '101000']);
  });

  it('is what was generated when the client leaves a stream', async () => {
    const simulator = await simulate({ outputTokensPerSecond: 1_000, wordsPerChunk: 2 });
    const leaving = new AbortController();
    const response = await post(simulator, CHAT, chat('Write 50000 words.', { stream: true }), {
      signal: leaving.signal,
    });
    await readUntil(response, '"delta":{"content"');
    leaving.abort();
    await eventually(() => simulator.invoice().lines.length === 1);
    const [line] = simulator.invoice().lines;
    expect(line).toMatchObject({ outcome: 'cancelled', inputTokens: 10 });
    expect(line!.outputTokens).toBeGreaterThan(0);
    expect(line!.outputTokens).toBeLessThan(50_000);
    expect(BigInt(line!.nanoUsd)).toBe(10n * 1_000n + BigInt(line!.outputTokens) * 10_000n + 1_000n);
  });

  it('stops growing soon after a client leaves a stream that runs as fast as possible', async () => {
    const simulator = await simulate({ maxOutputTokens: 5_000_000 });
    const leaving = new AbortController();
    const response = await post(simulator, CHAT, chat('Write 5000000 words.', { stream: true }), {
      signal: leaving.signal,
    });
    await readUntil(response, '"delta":{"content"');
    leaving.abort();
    await eventually(() => simulator.invoice().lines.length === 1);
    expect(simulator.invoice().lines[0]).toMatchObject({ outcome: 'cancelled' });
    expect(simulator.invoice().lines[0]!.outputTokens).toBeLessThan(5_000_000);
  });

  it('is the time spent when the client leaves an answer that is not streamed', async () => {
    const simulator = await simulate({ outputTokensPerSecond: 1_000 });
    const leaving = new AbortController();
    const answer = post(simulator, CHAT, chat('Write 50000 words.'), { signal: leaving.signal });
    await eventually(() => simulator.control.stats().models['m']!.promptTokens === 10);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => simulator.invoice().lines.length === 1);
    const [line] = simulator.invoice().lines;
    expect(line).toMatchObject({ outcome: 'cancelled', inputTokens: 10 });
    expect(line!.outputTokens).toBeGreaterThan(0);
    expect(line!.outputTokens).toBeLessThan(50_000);
  });

  it('is nothing when the client leaves before the prompt was read', async () => {
    const simulator = await simulate({ firstTokenMs: 60_000 });
    const leaving = new AbortController();
    const answer = post(simulator, CHAT, chat('Write 5 words.'), { signal: leaving.signal });
    await eventually(() => simulator.control.stats().models['m']!.running === 1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => simulator.control.stats().models['m']!.abandoned === 1);
    expect(simulator.invoice().lines).toEqual([]);
  });

  it('is exactly what reached the client of a stream that was cut', async () => {
    const simulator = await simulate({ cutStreamRate: 1 });
    for (let call = 1; call <= 5; call++) {
      const response = await post(simulator, CHAT, chat('Write 100 words.', { stream: true }));
      let text = '';
      await expect(
        (async () => {
          for await (const bytes of response.body!) text += Buffer.from(bytes).toString();
        })(),
      ).rejects.toThrow();
      expect(text).not.toContain('[DONE]');
      const line = simulator.invoice().lines.at(-1)!;
      expect(line).toMatchObject({ outcome: 'cut', outputTokens: receivedTokens(text) });
      expect(line.outputTokens).toBeLessThan(100);
      expect(line.nanoUsd).toBe(String(10_000 + line.outputTokens * 10_000 + 1_000));
    }
    expect(new Set(simulator.invoice().lines.map(({ outputTokens }) => outputTokens)).size).toBeGreaterThan(1);
  });

  it('is everything for an answer that was produced but whose connection broke', async () => {
    const simulator = await simulate({ cutAnswerRate: 1 });
    await expect(post(simulator, CHAT, chat('Write 9 words.'))).rejects.toThrow();
    expect(simulator.invoice().lines).toMatchObject([{ outcome: 'cut', outputTokens: 9 }]);
  });

  it('is what was generated when the simulator is stopped, and the file has it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'provider-simulator-'));
    try {
      const invoiceFile = join(folder, 'invoice.jsonl');
      const first = await simulate({ outputTokensPerSecond: 100 }, { invoiceFile });
      await postJson(first, CHAT, chat('Write 1 word.'));
      const response = await post(first, CHAT, chat('Write 50000 words.', { stream: true }));
      await readUntil(response, '"delta":{"content"');
      await first.stop();
      const second = await simulate({}, { invoiceFile });
      expect(second.invoice().lines).toMatchObject([{ outcome: 'completed' }, { outcome: 'cut', inputTokens: 10 }]);
      await postJson(second, CHAT, chat('Write 1 word.'));
      const ids = second.invoice().lines.map(({ callId }) => callId);
      expect(new Set(ids).size).toBe(3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is on the invoice before the client can see the end of the call', async () => {
    const simulator = await simulate();
    for (let call = 1; call <= 50; call++) {
      await readEvents(await post(simulator, CHAT, chat('Write 9 words.', { stream: true })));
      expect(simulator.invoice().lines).toHaveLength(call);
    }
  });

  it('is refused rather than left off when the invoice is full', async () => {
    const simulator = await simulate({}, { maxInvoiceLines: 1 });
    expect((await postJson(simulator, CHAT, chat('Write 9 words.'))).status).toBe(200);
    expect((await postJson(simulator, CHAT, chat('Write 9 words.'))).status).toBe(503);
    expect(simulator.invoice().lines).toHaveLength(1);
  });

  it('can be fetched as JSON and CSV', async () => {
    const simulator = await simulate({}, { name: 'openai' });
    await postJson(simulator, CHAT, chat('Write 9 words.'));
    expect(await (await fetch(`${simulator.url}/invoice`)).json()).toEqual(simulator.invoice());
    const empty = await fetch(`${simulator.url}/invoice?to=2000-01-01T00:00:00Z`);
    expect(await empty.json()).toMatchObject({ provider: 'openai', lines: [], totalNanoUsd: '0' });
    expect((await fetch(`${simulator.url}/invoice?from=yesterday`)).status).toBe(400);
    const csv = await (await fetch(`${simulator.url}/invoice.csv`)).text();
    expect(csv.split('\r\n')[1]).toMatch(/^chatcmpl-openai-.*,0\.000101000,101000,completed$/);
  });
});

describe('cached input', () => {
  const prefix = Array.from({ length: 130 }, (_, index) => `w${index}`).join(' ');

  it('is found by leading blocks of 64 words, reported and charged at its own price', async () => {
    const simulator = await simulate({ promptCache: true });
    const ask = async (tail: string) =>
      (await postJson(simulator, CHAT, chat(`${prefix} ${tail} Write 1 word.`))).body.usage;
    expect(await ask('a')).toMatchObject({ prompt_tokens: 141, prompt_tokens_details: { cached_tokens: 0 } });
    expect(await ask('b')).toMatchObject({ prompt_tokens: 141, prompt_tokens_details: { cached_tokens: 128 } });
    expect(simulator.invoice().lines).toMatchObject([
      { inputTokens: 141, cachedInputTokens: 0, cacheWriteTokens: 0, nanoUsd: '152000' },
      { inputTokens: 13, cachedInputTokens: 128, cacheWriteTokens: 0, nanoUsd: '36800' }, // 13,000 + 12,800 + 10,000 + 1,000
    ]);
  });

  it('has writes of its own where the dialect can say so', async () => {
    const simulator = await simulate({ promptCache: true });
    const ask = async (text: string) =>
      (await postJson(simulator, MESSAGES, chat(`${text} Write 1 word.`, { max_tokens: 10 }))).body.usage;
    expect(await ask(prefix)).toMatchObject({
      input_tokens: 12,
      cache_creation_input_tokens: 128,
      cache_read_input_tokens: 0,
    });
    expect(await ask(`${prefix} ${prefix}`)).toMatchObject({
      input_tokens: 14,
      cache_creation_input_tokens: 128,
      cache_read_input_tokens: 128,
    });
    expect(simulator.invoice().lines).toMatchObject([
      { inputTokens: 12, cachedInputTokens: 0, cacheWriteTokens: 128, nanoUsd: '183000' }, // 12,000 + 160,000 + 11,000
      { inputTokens: 14, cachedInputTokens: 128, cacheWriteTokens: 128, nanoUsd: '197800' },
    ]);
  });

  it('is not looked for unless configured', async () => {
    const simulator = await simulate();
    for (let call = 0; call < 2; call++) await postJson(simulator, CHAT, chat(prefix));
    expect(simulator.invoice().lines.map(({ cachedInputTokens }) => cachedInputTokens)).toEqual([0, 0]);
  });
});
