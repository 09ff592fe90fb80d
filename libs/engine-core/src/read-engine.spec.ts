import { describe, expect, it } from 'vitest';
import { engineRoot } from './engine-paths.js';
import { speedBetween } from './engine-speed.js';
import { contextOf, identityOf, loadOf, serves, shownContext } from './read-engine.js';

const models = (owner: string, more: object = {}, id = 'llama-3.3-70b') =>
  JSON.stringify({ object: 'list', data: [{ id, object: 'model', owned_by: owner, ...more }] });
const VLLM = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama-3.3-70b"} 7.0
vllm:num_requests_running{engine="1",model_name="llama-3.3-70b"} 5.0
vllm:num_requests_waiting{engine="0",model_name="llama-3.3-70b"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="llama-3.3-70b"} 0.42
vllm:kv_cache_usage_perc{engine="1",model_name="llama-3.3-70b"} 0.8
vllm:prompt_tokens_total{engine="0",model_name="llama-3.3-70b"} 1.2e+06
vllm:generation_tokens_total{engine="0",model_name="llama-3.3-70b"} 34000.0
vllm:iteration_tokens_total_bucket{le="+Inf",model_name="llama-3.3-70b"} 12`;

describe('an engine is recognised by what only it answers', () => {
  it.each([
    [
      'vllm',
      { '/v1/models': models('vllm', { max_model_len: 16384 }), '/version': '{"version":"0.11.0"}', '/metrics': VLLM },
      { version: '0.11.0', contextTokens: 16384 },
    ],
    [
      'sglang',
      {
        '/v1/models': models('sglang', { max_model_len: 8192 }),
        '/get_server_info': '{"max_running_requests":48,"version":"0.5.1"}',
      },
      { version: '0.5.1', contextTokens: 8192, slots: 48 },
    ],
    [
      'tgi',
      { '/info': '{"model_id":"meta/llama","max_concurrent_requests":128,"max_total_tokens":4096,"version":"3.3.0"}' },
      { version: '3.3.0', contextTokens: 4096, slots: 128, models: ['meta/llama'] },
    ],
    [
      'llama.cpp',
      {
        '/v1/models': models('llamacpp'),
        '/props': '{"total_slots":4,"default_generation_settings":{"n_ctx":2048},"build_info":"b6000-abc"}',
      },
      { version: 'b6000-abc', contextTokens: 2048, slots: 4 },
    ],
    [
      'ollama',
      {
        '/v1/models': models('library', {}, 'llama3:latest'),
        '/api/version': '{"version":"0.12.1"}',
        '/api/ps': '{"models":[{"name":"llama3:latest","context_length":4096}]}',
      },
      { version: '0.12.1', contexts: new Map([['llama3:latest', 4096]]), models: ['llama3:latest'] },
    ],
    ['openai', { '/v1/models': models('me') }, { models: ['llama-3.3-70b'] }],
    ['openai', { '/v1/models': 'not json', '/props': '[]' }, { models: [] }],
  ])('%s', (engine, answers, more) => {
    expect(identityOf(answers)).toMatchObject({ engine, ...more });
  });

  it('and serves a model by its name, with or without a tag', () => {
    expect(serves({ engine: 'ollama', models: ['llama3:latest'] }, 'llama3')).toBe(true);
    expect(serves({ engine: 'vllm', models: ['a'] }, 'b')).toBe(false);
    expect(serves({ engine: 'openai', models: [] }, 'b')).toBe(true);
  });
});

describe('the context of a model', () => {
  const loaded = (...contexts: [string, unknown][]) =>
    identityOf({
      '/api/version': '{"version":"0.12.1"}',
      '/api/ps': JSON.stringify({ models: contexts.map(([name, context_length]) => ({ name, context_length })) }),
    });

  it('is its own in Ollama, whatever else is loaded, and unknown where it is not', () => {
    const identity = loaded(['llama3.2:1b', 4_096], ['qwen3:32b', 40_960], ['phi4:latest', 16_384], ['old', undefined]);
    const contexts = ['llama3.2:1b', 'qwen3:32b', 'phi4', 'old', 'mistral', 'constructor'].map((m) =>
      contextOf(identity, m),
    );
    expect(contexts).toEqual([4_096, 40_960, 16_384, undefined, undefined, undefined]);
    expect(contextOf(loaded(), 'qwen3:32b')).toBeUndefined();
  });

  it('is that of the engine elsewhere', () => {
    expect(contextOf(identityOf({ '/v1/models': models('vllm', { max_model_len: 16_384 }) }), 'any')).toBe(16_384);
    expect(contextOf(identityOf({ '/v1/models': models('me') }), 'any')).toBeUndefined();
  });

  const INFO = { 'general.architecture': 'qwen3', 'qwen3.context_length': 40_960, 'qwen3.embedding_length': 5_120 };
  const show = (parameters: unknown, model_info: unknown = INFO) => JSON.stringify({ parameters, model_info });
  it.each<[string, string | undefined, number | undefined]>([
    [
      'what it has written',
      show('stop                           "<|im_end|>"\nnum_ctx                        8192'),
      8_192,
    ],
    ['no more than what it was trained for', show('num_ctx 131072'), 40_960],
    ['what it has written, whatever it was trained for', show('num_ctx 8192', null), 8_192],
    ['unknown with nothing written: it is loaded with the default of the server', show('temperature 0.6'), undefined],
    ['unknown without parameters', show(undefined), undefined],
    ['unknown with parameters that are none', show(['num_ctx 8192']), undefined],
    ['unknown with a number that is none', show('num_ctx 0\nnum_ctx_more 9'), undefined],
    ['unknown where nothing is said', undefined, undefined],
    ['unknown where something else is said', 'not json', undefined],
  ])('of Ollama that is not loaded is %s', (_name, shown, tokens) => {
    expect(shownContext(shown)).toBe(tokens);
  });
});

describe('how busy it is', () => {
  it('is summed over its ranks, but for a share, where the fullest counts', () => {
    expect(loadOf('vllm', { '/metrics': VLLM }, 'llama-3.3-70b')).toEqual({
      running: 12,
      waiting: 3,
      kvCacheShare: 0.8,
      counters: { promptTokens: 1_200_000, outputTokens: 34_000 },
    });
  });

  it('counts one model of several, where they are told apart', () => {
    const two = `${VLLM}\nvllm:num_requests_running{engine="0",model_name="other"} 90`;
    expect(loadOf('vllm', { '/metrics': two }, 'llama-3.3-70b').running).toBe(12);
    expect(loadOf('vllm', { '/metrics': two }, 'unnamed').running).toBe(102);
  });

  it('takes the older name of a metric too, and nothing of what is no number', () => {
    const older = 'vllm:gpu_cache_usage_perc{model_name="m"} 1.5\nvllm:num_requests_running NaN';
    expect(loadOf('vllm', { '/metrics': older })).toEqual({ kvCacheShare: 1 });
  });

  it('has the speeds that llama.cpp says, and none while it is idle', () => {
    const text =
      'llamacpp:prompt_tokens_seconds 900.5\nllamacpp:predicted_tokens_seconds 0\nllamacpp:requests_deferred 2';
    expect(loadOf('llama.cpp', { '/metrics': text })).toEqual({ waiting: 2, prefillTokensPerSecond: 900.5 });
    expect(loadOf('ollama', {})).toEqual({});
  });

  it('has no counts where an engine counts a request only when it is over', () => {
    expect(loadOf('tgi', { '/metrics': 'tgi_request_generated_tokens_sum 500\ntgi_queue_size 2' })).toEqual({
      waiting: 2,
    });
    expect(loadOf('sglang', { '/metrics': 'sglang:generation_tokens_total 500\nsglang:gen_throughput 90' })).toEqual({
      decodeTokensPerSecond: 90,
    });
  });

  it('has the speed between two readings, and none across a restart', () => {
    const at = (outputTokens: number, atMs: number) => ({ counters: { promptTokens: 0, outputTokens }, atMs });
    expect(speedBetween(at(100, 0), at(500, 2_000))).toEqual({ decodeTokensPerSecond: 200 });
    expect(speedBetween(at(500, 0), at(3, 2_000))).toEqual({});
    expect(speedBetween(undefined, at(3, 2_000))).toEqual({});
  });
});

it.each([
  ['http://gpu:8000/v1', 'http://gpu:8000'],
  ['http://gpu:8000/v1/', 'http://gpu:8000'],
  ['http://gpu/llm/v1', 'http://gpu/llm'],
  ['http://gpu:8000', 'http://gpu:8000'],
])('the root of %s is %s', (url, root) => expect(engineRoot(url)).toBe(root));
