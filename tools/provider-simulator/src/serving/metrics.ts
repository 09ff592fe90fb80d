import type { Model } from '../engine/model.js';

interface Metric {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  value: (model: Model) => number;
}

/** The names that vLLM exports. The cache usage has two: what it was called, and what it is called since 0.10. */
const METRICS: Metric[] = [
  {
    name: 'vllm:num_requests_running',
    type: 'gauge',
    help: 'Number of requests in model execution batches.',
    value: (model) => model.slots.running,
  },
  {
    name: 'vllm:num_requests_waiting',
    type: 'gauge',
    help: 'Number of requests waiting to be processed.',
    value: (model) => model.slots.waiting,
  },
  {
    name: 'vllm:gpu_cache_usage_perc',
    type: 'gauge',
    help: 'KV-cache usage. 1 means 100 percent usage.',
    value: cacheUsage,
  },
  {
    name: 'vllm:kv_cache_usage_perc',
    type: 'gauge',
    help: 'KV-cache usage. 1 means 100 percent usage.',
    value: cacheUsage,
  },
  {
    name: 'vllm:prompt_tokens_total',
    type: 'counter',
    help: 'Number of prefill tokens processed.',
    value: (model) => model.counts.promptTokens,
  },
  {
    name: 'vllm:generation_tokens_total',
    type: 'counter',
    help: 'Number of generation tokens processed.',
    value: (model) => model.counts.generatedTokens,
  },
];

function cacheUsage(model: Model): number {
  return Math.min(1, model.kvTokens / model.config.kvCacheTokens);
}

/** Prometheus text format 0.0.4. */
export function writeMetrics(models: Iterable<Model>): string {
  const all = [...models];
  return METRICS.map(({ name, type, help, value }) => {
    const samples = all.map((model) => `${name}{model_name="${escape(model.name)}"} ${value(model)}\n`).join('');
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples}`;
  }).join('');
}

function escape(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
