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
        backend('nano', 'openai', 'gpt-nano'),
        { ...backend('nano-batch', 'openai', 'gpt-nano'), modelAliases: ['gpt-nano-latest'] },
      ],
      routes: [{ id: 'auto', backends: ['here', 'there'], aliases: ['gpt-4o', 'gpt-nano-2'] }],
    }),
  );
  const asked = (name: string): string[] | undefined => catalogue.route(name)?.backends.map((b) => b.id);

  it('is a route, a backend, or a model as its provider calls it', () => {
    expect(asked('auto')).toEqual(['here', 'there']);
    expect(asked('here')).toEqual(['here']);
    expect(asked('gpt-4.1')).toEqual(['gpt-4-1']);
    expect(asked('openai/gpt-4.1')).toEqual(['gpt-4-1']);
    expect(catalogue.route('gpt-4.1')?.id).toBe('gpt-4-1');
    expect(asked('other/llama')).toEqual(['there']);
  });

  it('is every backend of a model that one provider has, or a further name of a route', () => {
    expect(asked('gpt-nano')).toEqual(['nano', 'nano-batch']);
    expect(asked('openai/gpt-nano')).toEqual(['nano', 'nano-batch']);
    expect(asked('gpt-nano-latest')).toEqual(['nano-batch']);
    expect(catalogue.route('gpt-nano')).toMatchObject({ id: 'nano' });
    expect(catalogue.route('gpt-nano')).not.toHaveProperty('settings');
    expect(catalogue.route('gpt-4o')).toMatchObject({ id: 'auto', settings: { id: 'auto' } });
  });

  it('is what may be asked for, of several the one that may', () => {
    expect(catalogue.route('gpt-nano', ['nano-batch'])).toMatchObject({ id: 'nano-batch' });
    expect(catalogue.route('gpt-nano', ['auto'])).toBeUndefined();
    expect(catalogue.route('gpt-4o', ['auto'])).toMatchObject({ id: 'auto' });
    expect(catalogue.route('gpt-4o', ['here'])).toBeUndefined();
    expect(catalogue.route('here', ['there'])).toBeUndefined();
  });

  it('is unknown where several providers have it: who asks may mean one of them', () => {
    expect(asked('llama')).toBeUndefined();
    expect(catalogue.providersOf('llama')).toEqual(['own', 'other']);
    expect(asked('gpt-5')).toBeUndefined();
    expect(catalogue.providersOf('gpt-5')).toEqual([]);
    expect(catalogue.providersOf('gpt-nano')).toEqual([]);
  });
});
