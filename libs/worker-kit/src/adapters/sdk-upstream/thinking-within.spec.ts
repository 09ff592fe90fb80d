import { describe, expect, it } from 'vitest';
import { thinkingWithin } from './thinking-within.js';

const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];
const call = (reasoning: string | undefined, maxOutputTokens?: number, more = {}) =>
  ({ prompt, reasoning, maxOutputTokens, ...more }) as never;

describe('a model of Claude that wants a budget of thought', () => {
  it.each([
    ['minimal', 20_000, 2_000],
    ['low', 20_000, 4_000],
    ['medium', 20_000, 10_000],
    ['high', 20_000, 16_000],
    ['xhigh', 20_000, 19_000],
    ['low', 2_000, 1_024],
    ['high', 1_025, 1_024],
  ])('at effort %s and a limit of %i has %i of it', (effort, limit, budgetTokens) => {
    const told = thinkingWithin('anthropic', 'claude-sonnet-4-5', call(effort, limit))!;
    expect(told.reasoning).toBeUndefined();
    // The SDK adds the two.
    expect(told.maxOutputTokens! + budgetTokens).toBe(limit);
    expect(told.providerOptions).toEqual({ anthropic: { thinking: { type: 'enabled', budgetTokens } } });
  });

  it('is told so at Bedrock in its own words, beside what is set already', () => {
    const set = { bedrock: { serviceTier: 'flex' } };
    const model = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0';
    expect(thinkingWithin('bedrock', model, call('low', 10_000, { providerOptions: set }))).toMatchObject({
      maxOutputTokens: 8_000,
      providerOptions: { bedrock: { serviceTier: 'flex', reasoningConfig: { type: 'enabled', budgetTokens: 2_000 } } },
    });
  });

  it('has no room for it in a short limit, nor in none, and some cannot think at all', () => {
    expect(thinkingWithin('anthropic', 'claude-sonnet-4-5', call('low', 1_024))).toBeUndefined();
    expect(thinkingWithin('anthropic', 'claude-sonnet-4-5', call('low'))).toBeUndefined();
    expect(thinkingWithin('anthropic', 'claude-3-5-haiku-latest', call('low', 10_000))).toBeUndefined();
  });

  it('goes on thinking from its own thoughts, and else not at all', () => {
    const assistant = (...content: object[]) => ({ role: 'assistant', content });
    const made = { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: {} };
    const result = { role: 'tool', content: [] };
    const thought = { type: 'reasoning', text: 'Hm.', providerOptions: { anthropic: { signature: 's' } } };
    const goesOn = (...messages: object[]) =>
      thinkingWithin('anthropic', 'claude-sonnet-4-5', call('low', 10_000, { prompt: [...prompt, ...messages] }))!;
    expect(goesOn(assistant(made), result)).toMatchObject({ maxOutputTokens: 10_000 });
    expect(goesOn(assistant(made), result)).not.toHaveProperty('reasoning');
    expect(goesOn(assistant(thought, made), result)).toMatchObject({ maxOutputTokens: 8_000 });
    // Another question is another turn.
    expect(goesOn(assistant(made), result, ...prompt)).toMatchObject({ maxOutputTokens: 8_000 });
  });
});

it.each([
  ['one that finds its own measure', 'anthropic', 'claude-opus-4-6', 'high'],
  ['one of another maker', 'bedrock', 'us.amazon.nova-2-lite-v1:0', 'high'],
  ['Gemini, whose thoughts lie within the limit', 'gemini', 'gemini-2.5-pro', 'high'],
  ['no thought', 'anthropic', 'claude-sonnet-4-5', 'none'],
  ['nothing asked', 'anthropic', 'claude-sonnet-4-5', undefined],
] as const)('is asked as it is: %s', (_name, protocol, model, effort) => {
  const asked = call(effort, 500);
  expect(thinkingWithin(protocol, model, asked)).toBe(asked);
});
