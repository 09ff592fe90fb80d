import { describe, expect, it } from 'vitest';
import { postJson, simulate } from '../for-tests.js';

const embedder = { kind: 'embedding' as const, prices: { input: '0.02' } };

describe('POST /v1/embeddings', () => {
  it('gives each input a vector of length 1 that depends on the input alone', async () => {
    const { body } = await postJson(await simulate(embedder), '/v1/embeddings', {
      model: 'm',
      input: ['a b', 'c', 'a b'],
    });
    const vectors: number[][] = body.data.map(({ embedding }: { embedding: number[] }) => embedding);
    expect(body.data.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2]);
    expect(vectors[0]).toHaveLength(64);
    expect(Math.hypot(...vectors[0]!)).toBeCloseTo(1, 5);
    expect(vectors[2]).toEqual(vectors[0]);
    expect(vectors[1]).not.toEqual(vectors[0]);
    expect(body.usage).toEqual({ prompt_tokens: 5, total_tokens: 5 });
  });

  it('writes the same vector in base64 as little-endian floats', async () => {
    const simulator = await simulate(embedder);
    const ask = async (more: object) =>
      (await postJson(simulator, '/v1/embeddings', { model: 'm', input: 'a', dimensions: 8, ...more })).body.data[0];
    const bytes = Buffer.from((await ask({ encoding_format: 'base64' })).embedding, 'base64');
    const floats = Array.from({ length: 8 }, (_, index) => bytes.readFloatLE(index * 4));
    expect(floats).toEqual((await ask({})).embedding);
  });

  it('counts inputs that are token numbers as they are, and charges input only', async () => {
    const simulator = await simulate(embedder);
    const { body } = await postJson(simulator, '/v1/embeddings', { model: 'm', input: [[1, 2, 3], [4]] });
    expect(body.usage.prompt_tokens).toBe(4);
    expect(simulator.invoice().lines).toMatchObject([{ inputTokens: 4, outputTokens: 0, nanoUsd: '80' }]);
  });

  it.each([undefined, '', [], [''], [1.5], [{}]])('refuses the input %j', async (input) => {
    const { status, body } = await postJson(await simulate(embedder), '/v1/embeddings', { model: 'm', input });
    expect([status, body.error.param]).toEqual([400, 'input']);
  });
});

describe('GET /v1/models', () => {
  it('lists models in the dialect of the caller', async () => {
    const { url } = await simulate({ contextTokens: 1_000 });
    const openAi = (await (await fetch(`${url}/v1/models`)).json()) as object;
    expect(openAi).toMatchObject({ object: 'list', data: [{ id: 'm', object: 'model', max_model_len: 1_000 }] });
    const headers = { 'anthropic-version': '2023-06-01' };
    const anthropic = (await (await fetch(`${url}/v1/models`, { headers })).json()) as object;
    expect(anthropic).toMatchObject({ data: [{ id: 'm', type: 'model' }], has_more: false });
    expect(await (await fetch(`${url}/v1/models/m`)).json()).toMatchObject({ id: 'm' });
    expect((await fetch(`${url}/v1/models/x`)).status).toBe(404);
  });
});
