import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { usageFromOpenAi } from './usage.js';

const vector = (inputTokens: number, cacheReadTokens: number, outputTokens: number) => ({
  inputTokens,
  cacheReadTokens,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  outputTokens,
  requests: 1,
});

describe("OpenAI's usage block as a disjoint vector", () => {
  it.each<[string, unknown, ReturnType<typeof vector> | undefined]>([
    ['plain', { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 }, vector(11, 0, 5)],
    [
      'cached tokens are inside the prompt (pitfall 16)',
      { prompt_tokens: 100, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 64 } },
      vector(36, 64, 5),
    ],
    [
      'reasoning is inside the completion (pitfall 17)',
      { prompt_tokens: 64, completion_tokens: 135, completion_tokens_details: { reasoning_tokens: 78 } },
      vector(64, 0, 135),
    ],
    [
      'more cached than prompt',
      { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } },
      vector(0, 5, 1),
    ],
    ['null details', { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: null }, vector(5, 0, 1)],
    ['none', undefined, undefined],
    ['null', null, undefined],
    ['an empty block', {}, undefined],
    ['a negative count', { prompt_tokens: -1, completion_tokens: 1 }, undefined],
    ['a fraction', { prompt_tokens: 1.5, completion_tokens: 1 }, undefined],
    ['text', { prompt_tokens: '5', completion_tokens: 1 }, undefined],
  ])('%s', (_name, block, expected) => {
    expect(usageFromOpenAi(block)).toEqual(expected);
  });
});

const data = process.env['MERITORDER_TEST_DATA'];
describe.skipIf(!data)('recorded answers of OpenAI (MERITORDER_TEST_DATA)', () => {
  it('every usage block of a chat completion adds up to the total that was sent', () => {
    const lines = readFileSync(join(data!, 'responses/recorded/openai.jsonl'), 'utf8').split('\n').filter(Boolean);
    let blocks = 0;
    const visit = (value: unknown): void => {
      if (value === null || typeof value !== 'object') return;
      const usage = (value as Record<string, any>)['usage'];
      if (usage && typeof usage === 'object' && 'prompt_tokens' in usage) {
        blocks++;
        const v = usageFromOpenAi(usage)!;
        expect(v.inputTokens + v.cacheReadTokens + v.outputTokens, JSON.stringify(usage)).toBe(usage.total_tokens);
      }
      for (const inner of Object.values(value)) visit(inner);
    };
    for (const line of lines) {
      const row = JSON.parse(line) as unknown;
      visit(row);
      // Bodies and streams may be kept as text.
      const text = JSON.stringify(row);
      for (const m of text.matchAll(/\\"usage\\":\s*(\{(?:[^{}]|\{[^{}]*\})*\})/g)) {
        try {
          visit({ usage: JSON.parse(m[1]!.replaceAll('\\"', '"').replaceAll('\\n', '')) });
        } catch {
          // A block inside text that is not itself JSON.
        }
      }
    }
    expect(blocks).toBeGreaterThan(0);
  });
});
