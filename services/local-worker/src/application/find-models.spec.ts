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
  };
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

  it('is 64 models at most', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `m${i}`);
    expect((await new FoundModels([engine('http://e1/v1', () => many)]).look()).found).toHaveLength(64);
  });
});
