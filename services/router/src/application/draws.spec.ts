import type { ChatRequest } from '@meritorder/contracts';
import { expect, it } from 'vitest';
import { promptPrefix } from './draws.js';

const prefixOf = (...messages: [role: string, content: string][]): string =>
  promptPrefix('acme', {
    model: 'auto',
    messages: messages.map(([role, content]) => ({ role, content })),
  } as ChatRequest);

it('every turn of a conversation has the prefix of the first, with instructions before it or without', () => {
  const first: [string, string][] = [['user', 'What is a merit order?']];
  const later: [string, string][] = [...first, ['assistant', 'A ranking by cost.'], ['user', 'Of what?']];
  expect(prefixOf(...later)).toBe(prefixOf(...first));
  const told: [string, string] = ['system', 'Be brief.'];
  expect(prefixOf(told, ...later)).toBe(prefixOf(told, ...first));
});

it('another first question, other instructions or another org is another prefix', () => {
  const asked = prefixOf(['user', 'What is a merit order?']);
  expect(prefixOf(['user', 'What is a price list?'])).not.toBe(asked);
  expect(prefixOf(['system', 'Be brief.'], ['user', 'What is a merit order?'])).not.toBe(asked);
  expect(
    promptPrefix('globex', { model: 'auto', messages: [{ role: 'user', content: 'What is a merit order?' }] }),
  ).not.toBe(asked);
});
