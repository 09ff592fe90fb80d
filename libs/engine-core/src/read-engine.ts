import type { EngineReport } from '@meritorder/contracts';
import type { EngineAnswers } from './engine-paths.js';
import { PrometheusText } from './prometheus-text.js';

/** What an engine is and what it may take at once. */
export interface EngineIdentity {
  engine: EngineReport['engine'];
  version?: string;
  /** Names under which it answers. */
  models: string[];
  /** Of one request, prompt and answer together: of whatever model it serves. */
  contextTokens?: number;
  /** The same by model, where each has its own: of those that are loaded. */
  contexts?: ReadonlyMap<string, number>;
  /** Requests that it works on at once; more of them wait inside it. */
  slots?: number;
}

/** Running counts, from which speeds follow. */
export interface EngineCounters {
  promptTokens: number;
  outputTokens: number;
}

export interface EngineLoad {
  running?: number;
  waiting?: number;
  /** 0 to 1. */
  kvCacheShare?: number;
  counters?: EngineCounters;
  prefillTokensPerSecond?: number;
  decodeTokensPerSecond?: number;
}

/**
 * Recognises an engine by what only it answers: vLLM, SGLang and TGI by the prefix of their metrics or by who owns their models,
 * llama.cpp by `/props`, Ollama by `/api/version`. Anything else that lists its models is `openai`.
 */
export function identityOf(answers: EngineAnswers): EngineIdentity {
  const models = recordOf(answers['/v1/models']);
  const listed = Array.isArray(models?.['data']) ? (models['data'] as unknown[]).map(asRecord) : [];
  const names = listed.map((m) => m['id']).filter((id) => typeof id === 'string');
  const metrics = new PrometheusText(answers['/metrics'] ?? '');
  const owner = String(listed[0]?.['owned_by'] ?? '').toLowerCase();
  const [props, info, server] = [answers['/props'], answers['/info'], answers['/get_server_info']].map(recordOf);
  const ollama = recordOf(answers['/api/version']);
  const context = whole(listed[0]?.['max_model_len']);
  const base = { models: names };
  if (metrics.has('vllm:') || owner === 'vllm')
    return {
      ...base,
      engine: 'vllm',
      ...optional({ version: text(recordOf(answers['/version'])?.['version']), contextTokens: context }),
    };
  if (metrics.has('sglang:') || owner === 'sglang')
    return {
      ...base,
      engine: 'sglang',
      ...optional({
        version: text(server?.['version']),
        contextTokens: context,
        slots: whole(server?.['max_running_requests']),
      }),
    };
  if (
    metrics.has('tgi_') ||
    text(info?.['docker_label']) !== undefined ||
    whole(info?.['max_total_tokens']) !== undefined
  )
    return {
      ...base,
      engine: 'tgi',
      models: names.length > 0 ? names : [text(info?.['model_id'])].filter((m) => m !== undefined),
      ...optional({
        version: text(info?.['version']),
        contextTokens: whole(info?.['max_total_tokens']),
        slots: whole(info?.['max_concurrent_requests']),
      }),
    };
  if (whole(props?.['total_slots']) !== undefined || metrics.has('llamacpp:') || owner === 'llamacpp')
    return {
      ...base,
      engine: 'llama.cpp',
      ...optional({
        version: text(props?.['build_info']),
        contextTokens: whole(asRecord(props?.['default_generation_settings'])['n_ctx']),
        slots: whole(props?.['total_slots']),
      }),
    };
  if (text(ollama?.['version']) !== undefined)
    return {
      ...base,
      engine: 'ollama',
      contexts: loadedContexts(answers),
      ...optional({ version: text(ollama?.['version']) }),
    };
  return { ...base, engine: 'openai', ...optional({ contextTokens: context }) };
}

/** What an engine says of the context of a model; undefined: nothing. */
export function contextOf({ contextTokens, contexts }: EngineIdentity, model: string): number | undefined {
  return contextTokens ?? contexts?.get(model) ?? contexts?.get(`${model}:latest`);
}

/**
 * The context that Ollama's `/api/show` says a model will be loaded with; undefined: the default of the server, which it tells of
 * nowhere. `context_length` there is what the model was trained for: a prompt of that length would be cut to the default without
 * a word, so it is only a limit.
 */
export function shownContext(shown: string | undefined): number | undefined {
  const { parameters, model_info: info } = recordOf(shown) ?? {};
  const stated = /^[ \t]*num_ctx[ \t]+"?(\d{1,9})"?[ \t]*$/m.exec(typeof parameters === 'string' ? parameters : '');
  const asked = whole(Number(stated?.[1]));
  if (asked === undefined) return undefined;
  const trained = Object.entries(asRecord(info)).find(([field]) => field.endsWith('.context_length'))?.[1];
  return Math.min(asked, whole(trained) ?? Infinity);
}

/** Whether an engine answers under this name; one that lists no models answers under any. */
export function serves({ models }: EngineIdentity, model: string): boolean {
  return models.length === 0 || models.includes(model) || models.includes(`${model}:latest`);
}

/** How busy it is with a model, or as a whole. Where an engine says nothing of it, nothing is there. */
export function loadOf(engine: EngineReport['engine'], answers: EngineAnswers, model?: string): EngineLoad {
  const metrics = new PrometheusText(answers['/metrics'] ?? '', model);
  const names = METRICS[engine];
  if (names === undefined) return {};
  const [prompt, output] = [metrics.sum(names.promptTokens), metrics.sum(names.outputTokens)];
  const share = metrics.most(names.kvCacheShare);
  return optional({
    running: metrics.sum(names.running),
    waiting: metrics.sum(names.waiting),
    kvCacheShare: share === undefined ? undefined : Math.min(1, Math.max(0, share)),
    counters: prompt === undefined || output === undefined ? undefined : { promptTokens: prompt, outputTokens: output },
    prefillTokensPerSecond: above0(metrics.sum(names.prefillRate)),
    decodeTokensPerSecond: above0(metrics.sum(names.decodeRate)),
  });
}

interface MetricNames {
  running: string[];
  waiting: string[];
  kvCacheShare: string[];
  promptTokens: string[];
  outputTokens: string[];
  prefillRate: string[];
  decodeRate: string[];
}

/**
 * Newer names first. Tokens are counted only where an engine counts them as it works: SGLang and TGI count a request when it is
 * over, so between two readings theirs are no speed.
 */
const METRICS: Partial<Record<EngineReport['engine'], MetricNames>> = {
  vllm: {
    running: ['vllm:num_requests_running'],
    waiting: ['vllm:num_requests_waiting'],
    kvCacheShare: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
    promptTokens: ['vllm:prompt_tokens_total'],
    outputTokens: ['vllm:generation_tokens_total'],
    prefillRate: [],
    decodeRate: [],
  },
  sglang: {
    running: ['sglang:num_running_reqs'],
    waiting: ['sglang:num_queue_reqs'],
    kvCacheShare: ['sglang:token_usage'],
    promptTokens: [],
    outputTokens: [],
    prefillRate: [],
    decodeRate: ['sglang:gen_throughput'],
  },
  tgi: {
    running: ['tgi_batch_current_size'],
    waiting: ['tgi_queue_size'],
    kvCacheShare: [],
    promptTokens: [],
    outputTokens: [],
    prefillRate: [],
    decodeRate: [],
  },
  'llama.cpp': {
    running: ['llamacpp:requests_processing'],
    waiting: ['llamacpp:requests_deferred'],
    kvCacheShare: ['llamacpp:kv_cache_usage_ratio'],
    promptTokens: ['llamacpp:prompt_tokens_total'],
    outputTokens: ['llamacpp:tokens_predicted_total'],
    prefillRate: ['llamacpp:prompt_tokens_seconds'],
    decodeRate: ['llamacpp:predicted_tokens_seconds'],
  },
};

function loadedContexts(answers: EngineAnswers): ReadonlyMap<string, number> {
  const contexts = new Map<string, number>();
  const loaded = recordOf(answers['/api/ps'])?.['models'];
  for (const { name, model, context_length: length } of Array.isArray(loaded) ? loaded.map(asRecord) : []) {
    const tokens = whole(length);
    if (tokens === undefined) continue;
    for (const id of [model, name]) if (typeof id === 'string') contexts.set(id, tokens);
  }
  return contexts;
}

function recordOf(json: string | undefined): Record<string, unknown> | undefined {
  if (json === undefined) return undefined;
  try {
    return asRecord(JSON.parse(json));
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function whole(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

function above0(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, 64) : undefined;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
function optional<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)) as Defined<T>;
}
