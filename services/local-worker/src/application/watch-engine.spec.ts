import { describe, expect, it } from 'vitest';
import { WatchedEngine, type EnginePorts } from './watch-engine.js';

const MODELS = JSON.stringify({ data: [{ id: 'm', owned_by: 'vllm', max_model_len: 100 }] });
const backend = { id: 'local', model: 'm', baseUrl: 'http://gpu:8000/v1', contextTokens: 200 };

function engine(answers: Partial<Record<string, string>>) {
  const said: string[] = [];
  const state = { answers, down: false, nowMs: 0 };
  const ports: EnginePorts = {
    show: async () => undefined,
    get: async (path) => {
      if (state.down) throw new Error('connect ECONNREFUSED');
      return state.answers[path];
    },
    nowMs: () => state.nowMs,
    log: { log: (m) => void said.push(m), warn: (m) => void said.push(m) },
  };
  return { watched: new WatchedEngine(backend, ports), state, said };
}

describe('an engine that is watched', () => {
  it('is not there before it answered, and then reports itself', async () => {
    const { watched, said } = engine({ '/v1/models': MODELS, '/metrics': 'vllm:num_requests_running 3' });
    expect(watched.state).toEqual({ serves: false });
    await watched.ask();
    expect(watched.state).toEqual({ serves: true, report: { engine: 'vllm', contextTokens: 100, running: 3 } });
    expect(said).toEqual(['local: vllm serves m; it takes 100 tokens and the configuration says 200']);
  });

  it('leaves after two failures in a row, not after one, and comes back by itself', async () => {
    const { watched, state, said } = engine({ '/v1/models': MODELS });
    await watched.ask();
    state.down = true;
    await watched.ask();
    expect(watched.state.serves).toBe(true);
    await watched.ask();
    expect(watched.state).toEqual({ serves: false });
    await watched.ask();
    state.down = false;
    await watched.ask();
    expect(watched.state.serves).toBe(true);
    expect(said.map((s) => s.split(' ')[1])).toEqual(['vllm', 'no', 'vllm']);
  });

  it('that is Ollama reports the context of its own model, also when that is no longer loaded', async () => {
    const ps = (...loaded: [string, number][]) =>
      JSON.stringify({ models: loaded.map(([name, context_length]) => ({ name, context_length })) });
    const answers = { '/v1/models': '{"data":[{"id":"m:latest"}]}', '/api/version': '{"version":"0.12.1"}' };
    const { watched, state } = engine({ ...answers, '/api/ps': ps(['other', 9_000], ['m:latest', 150]) });
    await watched.ask();
    expect(watched.state.report).toEqual({ engine: 'ollama', version: '0.12.1', contextTokens: 150 });
    state.answers = { ...answers, '/api/ps': ps() };
    state.nowMs += 15_000;
    await watched.ask();
    expect(watched.state.report).toMatchObject({ contextTokens: 150 });
  });

  it('that serves another model says which, and is not there', async () => {
    const { watched, state, said } = engine({ '/v1/models': MODELS.replace('"m"', '"other"') });
    await watched.ask();
    expect(watched.state.serves).toBe(false);
    expect(said[0]).toMatch(/does not serve "m"; it serves: other/);
    state.answers = { '/v1/models': MODELS };
    state.nowMs += 15_000;
    await watched.ask();
    expect(watched.state.serves).toBe(true);
  });

  it('has the speed of what it generated between two readings', async () => {
    const counts = (n: number) => `vllm:prompt_tokens_total ${n}\nvllm:generation_tokens_total ${n}`;
    const { watched, state } = engine({ '/v1/models': MODELS, '/metrics': counts(1_000) });
    await watched.ask();
    expect(watched.state.report).not.toHaveProperty('decodeTokensPerSecond');
    state.answers = { ...state.answers, '/metrics': counts(1_500) };
    state.nowMs += 1_000;
    await watched.ask();
    expect(watched.state.report).toMatchObject({ decodeTokensPerSecond: 500, prefillTokensPerSecond: 500 });
  });
});
