import { expect, it } from 'vitest';
import { firstTokenTimeoutMs } from './first-token-timeout.js';

it.each<[string, object, object, number]>([
  ['a plain request', {}, {}, 60_000],
  ['a chat completion that asks to reason', {}, { reasoning_effort: 'high' }, 300_000],
  ['one that asks to reason a little', {}, { reasoning_effort: 'low' }, 300_000],
  ['one that asks for none', {}, { reasoning_effort: 'none' }, 60_000],
  ['one that asks for hardly any', {}, { reasoning_effort: 'minimal' }, 60_000],
  ['one that leaves it to the backend', {}, { reasoning_effort: null, reasoning: null, thinking: null }, 60_000],
  ['a response that asks to reason', {}, { reasoning: { effort: 'medium' } }, 300_000],
  ['a response that asks for a summary alone', {}, { reasoning: { summary: 'auto' } }, 60_000],
  ['OpenRouter with a budget of thought', {}, { reasoning: { max_tokens: 2_000 } }, 300_000],
  ['messages with a budget of thought', {}, { thinking: { type: 'enabled', budget_tokens: 2_000 } }, 300_000],
  ['messages whose model decides', {}, { thinking: { type: 'adaptive' } }, 300_000],
  ['messages without thought', {}, { thinking: { type: 'disabled' } }, 60_000],
  ['a backend that hides some of its output', { hiddenOutput: true }, {}, 300_000],
  ['a backend that says how long', { firstTokenTimeoutMs: 5_000 }, { reasoning_effort: 'high' }, 5_000],
  ['one that hides output, too', { firstTokenTimeoutMs: 90_000, hiddenOutput: true }, {}, 90_000],
])('%s is waited for as long as it takes', (_what, backend, body, expected) => {
  expect(firstTokenTimeoutMs(backend, body as Record<string, unknown>)).toBe(expected);
});
