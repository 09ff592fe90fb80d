import { describe, expect, it } from 'vitest';
import { MeritorderConfig } from '@meritorder/contracts';
import { MemoryCatalogue } from './catalogue.memory.js';

const backend = (id: string, provider: string, model: string) => ({
  id,
  kind: 'cloud' as const,
  provider,
  model,
  baseUrl: 'http://127.0.0.1:1/v1',
  contextTokens: 1_000,
  maxOutputTokens: 100,
});

describe('what a request names', () => {
  const catalogue = new MemoryCatalogue(
    MeritorderConfig.parse({
      version: 1,
      orgs: [{ id: 'acme' }],
      backends: [
        backend('gpt-4-1', 'openai', 'gpt-4.1'),
        backend('here', 'own', 'llama'),
        backend('there', 'other', 'llama'),
        backend('mini', 'openai', 'auto'),
      ],
      routes: [{ id: 'auto', backends: ['here', 'there'] }],
    }),
  );
  const asked = (name: string): string[] | undefined => catalogue.route(name)?.backends.map((b) => b.id);

  it('is a route, a backend, or a model as its provider calls it, where one backend has that name', () => {
    expect(asked('auto')).toEqual(['here', 'there']);
    expect(asked('here')).toEqual(['here']);
    expect(asked('gpt-4.1')).toEqual(['gpt-4-1']);
    expect(asked('openai/gpt-4.1')).toEqual(['gpt-4-1']);
    expect(catalogue.route('gpt-4.1')?.id).toBe('gpt-4-1');
    expect(asked('other/llama')).toEqual(['there']);
  });

  it('is unknown where it would be several backends: what stands for several is a route', () => {
    expect(asked('llama')).toBeUndefined();
    expect(asked('gpt-5')).toBeUndefined();
  });
});
