import { describe, expect, it } from 'vitest';
import { isModel, priceOfServed } from './index.js';
import { price } from './prices.for-tests.js';

describe('a name of the model that was asked', () => {
  it.each([
    ['gpt-4.1', 'gpt-4.1-2025-04-14'],
    ['gpt-4.1-2025-04-14', 'gpt-4.1'],
    ['gpt-4', 'gpt-4-0613'],
    ['claude-sonnet-4-5', 'claude-sonnet-4-5-20250929'],
    ['claude-sonnet-4-5', 'claude-sonnet-4-5@20250929'],
    ['gemini-2.0-flash', 'models/gemini-2.0-flash-001'],
    ['command-r', 'command-r-08-2024'],
    ['llama-v3p1-8b-instruct', 'accounts/fireworks/models/llama-v3p1-8b-instruct'],
    ['meta-llama/Llama-3.1-8B-Instruct', 'llama-3.1-8b-instruct'],
    ['llama3.2', 'llama3.2:latest'],
    ['anthropic.claude-3-5-sonnet-20241022', 'us/anthropic.claude-3-5-sonnet-20241022-v2:0'],
  ])('%s: %s', (asked, served) => {
    expect(isModel(asked, served)).toBe(true);
  });

  it.each([
    ['gpt-4o', 'gpt-4o-mini'],
    ['gpt-4o-mini', 'gpt-4o'],
    ['gpt-4o', 'gpt-4o-mini-2024-07-18'],
    ['gpt-4', 'gpt-4-32k'],
    ['gpt-4', 'gpt-4.1'],
    ['gpt-5', 'gpt-5.1'],
    ['claude-opus-4', 'claude-opus-4-5'],
    ['claude-opus-4', 'claude-opus-4-5-20251101'],
    ['llama-3', 'llama-3-70b'],
    ['gpt-4o-2024-05-13', 'gpt-4o-2024-08-06'],
    ['o3', 'o3-pro'],
  ])('%s is not %s', (asked, served) => {
    expect(isModel(asked, served)).toBe(false);
  });
});

describe('the model that answered is the one billed', () => {
  const own = price({}, { id: 'pv-own' });
  const mini = price({}, { id: 'pv-mini', model: 'gpt-4o-mini' });
  const dated = price({}, { id: 'pv-dated', model: 'gpt-4o-2024-05-13' });
  const backend = { model: 'gpt-4o', modelAliases: ['chatgpt-4o-latest'], kind: 'cloud' as const };

  it.each<[string, string | undefined, string, boolean]>([
    ['the one asked', 'gpt-4o', 'pv-own', false],
    ['a dated name of it', 'gpt-4o-2024-08-06', 'pv-own', false],
    ['an alias of it', 'chatgpt-4o-latest', 'pv-own', false],
    ['nobody says which', undefined, 'pv-own', false],
    ['another that has prices', 'gpt-4o-mini-2024-07-18', 'pv-mini', false],
    ['a dated version with prices of its own', 'gpt-4o-2024-05-13', 'pv-dated', false],
    ['one that nobody knows: as the own, and said', 'gpt-9', 'pv-own', true],
  ])('%s', (_, served, id, unknown) => {
    const priced = priceOfServed(backend, served, own, [mini, dated]);
    expect([priced.price.id, priced.unknown]).toEqual([id, unknown]);
  });

  it('an engine of our own may call its model what it likes', () => {
    expect(priceOfServed({ ...backend, kind: 'local' }, '/models/weights.gguf', own, []).unknown).toBe(false);
  });
});
