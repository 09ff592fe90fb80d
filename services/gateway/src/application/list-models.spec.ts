import { parseConfig } from '@meritorder/contracts';
import { expect, it } from 'vitest';
import { anthropicModels, modelNamed, modelsOf, openAiModels } from './list-models.js';

const backend = (id: string) =>
  `{ id: ${id}, name: "The ${id}", kind: cloud, provider: p, model: m, baseUrl: "http://127.0.0.1:1/v1", contextTokens: 10, maxOutputTokens: 5 }`;
const config = parseConfig(
  `{ version: 1, orgs: [{ id: acme }, { id: globex, routes: [auto, b] }, { id: nobody, routes: [] }],
     backends: [${backend('a')}, ${backend('b')}], routes: [{ id: auto, backends: [a] }, { id: best, backends: [b] }] }`,
  'test.yaml',
  {},
);
const ids = (org: string) => modelsOf(config, org).map((m) => m.id);

it('an org sees the routes and backends that it may name, and no others', () => {
  expect(ids('acme')).toEqual(['auto', 'best', 'a', 'b']);
  expect(ids('globex')).toEqual(['auto', 'b']);
  expect(ids('nobody')).toEqual([]);
});

it('is found as its provider calls it, by whoever may name a backend of it, where one provider has it', () => {
  const one = {
    ...config,
    backends: [config.backends[0]!, { ...config.backends[1]!, model: 'gpt-4.1', provider: 'o' }],
  };
  expect(modelNamed(one, 'globex', 'gpt-4.1')).toEqual({ id: 'gpt-4.1', name: 'The b', owner: 'o' });
  expect(modelNamed(one, 'globex', 'o/gpt-4.1')).toMatchObject({ id: 'o/gpt-4.1' });
  expect(modelNamed(one, 'nobody', 'gpt-4.1')).toBeUndefined();
  expect(modelNamed(one, 'globex', 'm')).toBeUndefined();
  expect(modelNamed(config, 'acme', 'm')).toEqual({ id: 'm', name: 'The a', owner: 'p' });
  expect(modelNamed(config, 'globex', 'm')).toEqual({ id: 'm', name: 'The b', owner: 'p' });
  const two = { ...config, backends: [config.backends[0]!, { ...config.backends[1]!, provider: 'q' }] };
  expect(modelNamed(two, 'acme', 'm')).toBeUndefined();
  expect(modelNamed(two, 'acme', 'q/m')).toMatchObject({ owner: 'q' });
  expect(modelNamed(config, 'acme', 'best')).toMatchObject({ id: 'best', owner: 'meritorder' });
});

it('is found by a further name of a route, and listed so', () => {
  const aliased = { ...config, routes: [{ ...config.routes[0]!, aliases: ['gpt-4.1'] }, config.routes[1]!] };
  expect(modelsOf(aliased, 'globex').map((m) => m.id)).toEqual(['auto', 'gpt-4.1', 'b']);
  expect(modelNamed(aliased, 'globex', 'gpt-4.1')).toMatchObject({ owner: 'meritorder' });
  expect(modelNamed(aliased, 'nobody', 'gpt-4.1')).toBeUndefined();
});

it('in the words of either dialect, an empty list too', () => {
  expect(openAiModels(modelsOf(config, 'globex'))).toEqual({
    object: 'list',
    data: [
      { id: 'auto', object: 'model', created: 0, owned_by: 'meritorder' },
      { id: 'b', object: 'model', created: 0, owned_by: 'p' },
    ],
  });
  expect(anthropicModels(modelsOf(config, 'globex'))).toMatchObject({
    first_id: 'auto',
    last_id: 'b',
    has_more: false,
  });
  expect(anthropicModels([])).toEqual({ data: [], has_more: false, first_id: null, last_id: null });
});
