import { describe, expect, it } from 'vitest';
import { readUsage } from '../usage-reader.js';
import { statedCharge } from './stated-charge.js';

describe('what a call was charged', () => {
  it.each<[string, Record<string, unknown>, bigint | 'corrupt' | undefined]>([
    ['OpenRouter', { cost: 0.000412, is_byok: false }, 412_000_000n],
    ['OpenRouter, with an exponent in JSON', { cost: 4.45e-6 }, 4_450_000n],
    ['OpenRouter, below a nano-dollar', { cost: 0.000000_0001 }, 100n],
    ['OpenRouter, nothing', { cost: 0 }, 0n],
    [
      'OpenRouter, by a key of one’s own',
      { cost: 0.001, is_byok: true, cost_details: { upstream_inference_cost: 0.0360795 } },
      37_079_500_000n,
    ],
    [
      'OpenRouter, by its own key: what it pays itself is inside',
      { cost: 0.04, is_byok: false, cost_details: { upstream_inference_cost: 0.0360795 } },
      40_000_000_000n,
    ],
    ['OpenRouter, without details', { cost: 0.04, is_byok: true, cost_details: null }, 40_000_000_000n],
    ['Perplexity', { cost: { input_tokens_cost: 0.001, request_cost: 0.005, total_cost: 0.0061 } }, 6_100_000_000n],
    ['xAI', { cost_in_usd_ticks: 1_466_250 }, 146_625_000n],
    ['most', {}, undefined],
    ['null', { cost: null, cost_in_usd_ticks: null }, undefined],
    ['a negative amount', { cost: -0.1 }, 'corrupt'],
    ['text', { cost: '0.1' }, 'corrupt'],
    ['an object without a total', { cost: { total: 1 } }, 'corrupt'],
    ['ticks that are no count', { cost_in_usd_ticks: 1.5 }, 'corrupt'],
    ['more than anybody charges', { cost: 1e9 }, 'corrupt'],
  ])('%s', (_name, block, picos) => {
    expect(statedCharge(block)).toBe(picos);
  });

  it('is read with the usage beside it, and is no charge where it is no amount', () => {
    const body = (more: object) => ({
      object: 'chat.completion',
      choices: [{ message: { content: 'x' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, ...more },
    });
    const read = readUsage('openai-chat', body({ cost: 0.000012 }));
    expect(read).toMatchObject({ usage: { inputTokens: 5, outputTokens: 2 }, statedPicos: 12_000_000n, notes: [] });
    const corrupt = readUsage('openai-chat', body({ cost: 'much' }));
    expect(corrupt).toMatchObject({ usage: { inputTokens: 5 }, statedPicos: undefined, notes: ['corrupt:charge'] });
  });
});
