import { describe, expect, it } from 'vitest';
import { joinedBackend, joinedBackendId, joinFleet, leaveFleet } from './joined-backends.js';
import { MeritorderConfig } from './meritorder-config.js';

const template = { host: 'gpu-2', provider: 'acme-gpus', maxOutputTokens: 4_096, prices: [] };
const config = (over: object = {}): MeritorderConfig =>
  MeritorderConfig.parse({
    version: 1,
    orgs: [{ id: 'acme' }],
    backends: [
      {
        id: 'cloud',
        kind: 'cloud',
        provider: 'openai',
        model: 'gpt',
        baseUrl: 'http://127.0.0.1:1/v1',
        contextTokens: 10,
        maxOutputTokens: 5,
      },
    ],
    hosts: [{ id: 'gpu-2', gpus: 2, rented: { usdPerGpuHour: '2' } }],
    routes: [
      { id: 'auto', backends: ['cloud'] },
      { id: 'own', backends: [] },
    ],
    joins: [
      { ...template, routes: ['own'], contextTokens: 9_000 },
      { ...template, model: 'Llama-3.3', routes: ['auto', 'own'], maxConcurrency: 7 },
    ],
    ...over,
  });
const found = {
  host: 'gpu-2',
  engine: 1,
  baseUrl: 'http://127.0.0.1:8000/v1',
  model: 'Llama-3.3',
  contextTokens: 8_192,
};

describe('what a worker found', () => {
  it('is a backend by the entry that names its model, with what its engine says', () => {
    expect(joinedBackend(config(), found)).toMatchObject({
      backend: { id: 'gpu-2-llama-3-3', kind: 'local', host: 'gpu-2', contextTokens: 8_192, maxConcurrency: 7 },
      routes: ['auto', 'own'],
    });
  });

  it('is one by the entry that names none, and takes no more than that allows', () => {
    const joined = joinedBackend(config(), { ...found, model: 'other', contextTokens: 100_000 });
    expect(joined).toMatchObject({ backend: { contextTokens: 9_000, maxConcurrency: 64 }, routes: ['own'] });
    expect(joinedBackend(config(), { ...found, contextTokens: 1_000 })).toMatchObject({
      backend: { maxOutputTokens: 1_000 },
    });
  });

  it.each([
    ['whose host may not join', { host: 'gpu-3' }, /no entry of "joins"/],
    [
      'that nobody says the context of',
      { contextTokens: undefined },
      /set contextTokens in "joins".*num_ctx.*OLLAMA_CONTEXT_LENGTH/,
    ],
    ['whose id is a route', { model: 'x' }, /id of something else/],
  ])('%s is none, and why is said', (_name, over, why) => {
    const routes = [
      { id: 'auto', backends: ['cloud'] },
      { id: 'own', backends: ['cloud'] },
      { id: 'gpu-2-x', backends: ['cloud'] },
    ];
    expect(joinedBackend(config({ routes }), { ...found, ...over })).toMatchObject({
      refused: expect.stringMatching(why),
    });
  });

  it('has an id that is a slug and depends on nothing but host, model and the place of its engine', () => {
    const id = (model: string, engine = 1) => joinedBackendId({ host: 'gpu-2', model, engine });
    expect([id('qwen/qwen3:32b'), id('a', 2)]).toEqual(['gpu-2-qwen-qwen3-32b', 'gpu-2-a-e2']);
    expect(id('m'.repeat(128), 3)).toMatch(/^gpu-2-m+-e3$/);
    expect(id('m'.repeat(128), 3)).toHaveLength(64);
  });

  it('joins the configuration in force and its routes once, changes in place, and leaves nothing behind', () => {
    const inForce = config();
    const before = structuredClone(inForce);
    for (const contextTokens of [8_192, 4_096]) expect(joinFleet(inForce, { ...found, contextTokens })).toBeUndefined();
    expect(inForce.backends.map((b) => [b.id, b.contextTokens])).toEqual([
      ['cloud', 10],
      ['gpu-2-llama-3-3', 4_096],
    ]);
    expect(inForce.routes.map((r) => r.backends)).toEqual([['cloud', 'gpu-2-llama-3-3'], ['gpu-2-llama-3-3']]);
    leaveFleet(inForce, 'gpu-2-llama-3-3');
    expect(inForce).toEqual(before);
  });
});

describe('an entry of joins', () => {
  it.each([
    ['of a host that costs nothing', { joins: [{ ...template, host: 'gpu-9' }] }, /not one of hosts/],
    ['of a route that is none', { joins: [{ ...template, routes: ['nope'] }] }, /not a route/],
    ['that is there twice', { joins: [template, template] }, /two entries/],
    [
      'with more GPUs than its host',
      { joins: [{ ...template, throughput: { gpus: 3, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 } }] },
      /has 2/,
    ],
    ['that leaves a route with nobody', { joins: [template] }, /needs at least one/],
  ])('%s is refused', (_name, over, why) => {
    expect(() => config(over)).toThrow(why);
  });
});
