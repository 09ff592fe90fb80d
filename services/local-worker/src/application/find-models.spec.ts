import type { EnginePath } from '@meritorder/engine-core';
import { describe, expect, it } from 'vitest';
import { FoundModels, type EngineAt } from './find-models.js';

/** An engine that serves what `models` says at the time; undefined: nothing answers. */
function engine(baseUrl: string, models: () => string[] | undefined): EngineAt {
  return {
    baseUrl,
    get: async (path: EnginePath) => {
      const served = models();
      if (served === undefined) throw new Error('connect ECONNREFUSED');
      if (path !== '/v1/models') return undefined;
      return JSON.stringify({ data: served.map((id) => ({ id, owned_by: 'vllm', max_model_len: 8_192 })) });
    },
    show: async () => {
      throw new Error('only Ollama is asked');
    },
  };
}

/** Ollama with some models loaded, and some that have a num_ctx; `shown` are those that it was asked for. */
function ollama(
  names: string[],
  state: { loaded: Record<string, number>; numCtx: Record<string, number>; down?: boolean },
) {
  const shown: string[] = [];
  const answers = (): Record<string, unknown> => ({
    '/v1/models': { data: names.map((id) => ({ id, owned_by: 'library' })) },
    '/api/version': { version: '0.12.1' },
    '/api/ps': { models: Object.entries(state.loaded).map(([name, context_length]) => ({ name, context_length })) },
  });
  const at: EngineAt = {
    baseUrl: 'http://e1/v1',
    get: async (path) => {
      const answer = answers()[path];
      return answer === undefined ? undefined : JSON.stringify(answer);
    },
    show: async (model) => {
      shown.push(model);
      if (state.down) throw new Error('timeout');
      const parameters = state.numCtx[model] === undefined ? 'temperature 1' : `num_ctx ${state.numCtx[model]}`;
      return JSON.stringify({ parameters, model_info: { 'llama.context_length': 131_072 } });
    },
  };
  const models = new FoundModels([at]);
  const contexts = async () => (await models.look()).found.map(({ model, contextTokens }) => [model, contextTokens]);
  return { contexts, shown };
}
const found = (at: number, model: string) => ({
  engine: at,
  baseUrl: `http://e${at}/v1`,
  model,
  contextTokens: 8_192,
});

describe('what the engines of a host serve', () => {
  it('is found by the place of each engine in the list, whichever is there', async () => {
    const models = new FoundModels([engine('http://e1/v1', () => undefined), engine('http://e2/v1', () => ['a', 'b'])]);
    expect(await models.look()).toEqual({ found: [found(2, 'a'), found(2, 'b')], answered: [2] });
  });

  it('stays what it was while an engine is away, and is what it says when it is back', async () => {
    let first: string[] | undefined = ['a'];
    const models = new FoundModels([engine('http://e1/v1', () => first), engine('http://e2/v1', () => ['b'])]);
    const all = [found(1, 'a'), found(2, 'b')];
    expect(await models.look()).toEqual({ found: all, answered: [1, 2] });
    first = undefined;
    expect(await models.look()).toEqual({ found: all, answered: [2] });
    first = ['c'];
    expect(await models.look()).toEqual({ found: [found(1, 'c'), found(2, 'b')], answered: [1, 2] });
  });

  it('of Ollama is each with its own context, which stays while it is not loaded', async () => {
    const state = { loaded: { 'llama3.2:1b': 4_096, 'qwen3:32b': 40_960 } as Record<string, number>, numCtx: {} };
    const { contexts, shown } = ollama(['llama3.2:1b', 'qwen3:32b'], state);
    const both = [
      ['llama3.2:1b', 4_096],
      ['qwen3:32b', 40_960],
    ];
    expect(await contexts()).toEqual(both);
    state.loaded = {};
    expect(await contexts()).toEqual(both);
    state.loaded = { 'qwen3:32b': 8_192 };
    expect(await contexts()).toEqual([
      ['llama3.2:1b', 4_096],
      ['qwen3:32b', 8_192],
    ]);
    expect(shown).toEqual([]);
  });

  it('of Ollama that was never loaded has its num_ctx, else none, and is asked for once in a while', async () => {
    const state = { loaded: {} as Record<string, number>, numCtx: { a: 8_192 } as Record<string, number> };
    const { contexts, shown } = ollama(['a', 'b'], state);
    const first = [
      ['a', 8_192],
      ['b', undefined],
    ];
    for (let look = 0; look < 15; look++) expect(await contexts()).toEqual(first);
    expect(shown).toEqual(['a', 'b']);
    state.numCtx = { a: 16_384, b: 2_048 };
    expect(await contexts()).toEqual([
      ['a', 16_384],
      ['b', 2_048],
    ]);
    expect(shown).toEqual(['a', 'b', 'a', 'b']);
    state.loaded = { b: 4_096 };
    expect((await contexts())[1]).toEqual(['b', 4_096]);
  });

  it('of Ollama that does not answer for a model is asked again, and is there all the same', async () => {
    const state = { loaded: {}, numCtx: { a: 8_192 }, down: true };
    const { contexts } = ollama(['a'], state);
    expect(await contexts()).toEqual([['a', undefined]]);
    state.down = false;
    expect(await contexts()).toEqual([['a', 8_192]]);
  });

  it('is 64 models at most', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `m${i}`);
    expect((await new FoundModels([engine('http://e1/v1', () => many)]).look()).found).toHaveLength(64);
  });
});
