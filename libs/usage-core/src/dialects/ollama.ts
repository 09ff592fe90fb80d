import type { EngineTimings } from '@meritorder/contracts';
import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { countOf, fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import type { DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  prompt: ['prompt_eval_count'],
  output: ['eval_count'],
  promptNs: ['prompt_eval_duration'],
  outputNs: ['eval_duration'],
});
const NANOSECONDS_PER_MS = 1_000_000;

/**
 * Ollama's own API: counts at the end, durations in nanoseconds. Counts of zero are left out, so an answer without
 * `prompt_eval_count` had its whole prompt in the cache. Thinking is inside `eval_count`.
 */
export class OllamaReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private servedModel: string | undefined;
  private done = false;

  note(event: Json, generated: GeneratedText): void {
    this.servedModel = nameOf(event['model']) ?? this.servedModel;
    const message = objectOf(event['message']);
    generated.add(message?.['content']);
    generated.add(message?.['thinking'] ?? event['thinking']);
    generated.add(event['response']);
    for (const call of listOf(message?.['tool_calls'])) {
      const made = objectOf(objectOf(call)?.['function']);
      if (made) generated.add(JSON.stringify(made));
    }
    if (event['eval_count'] === undefined && event['prompt_eval_count'] === undefined) return;
    this.fields.overwrite(event);
    this.done = event['done'] === true || event['embeddings'] !== undefined;
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const corrupt = fields.corrupt(['prompt', 'output']);
    const reading: DialectReading = {
      complete: false,
      servedModel: this.servedModel,
      notes: corrupt.map((name) => `corrupt:${name}`),
    };
    const prompt = fields.count('prompt');
    const output = fields.count('output');
    if (corrupt.length > 0 || (prompt === undefined && output === undefined)) return reading;
    return {
      ...reading,
      usage: disjointUsage({ input: prompt ?? 0, output: output ?? 0 }).usage,
      basis: 'reported',
      complete: this.done,
      timings: this.timings(prompt ?? 0, output ?? 0),
      totalRule: 'none-sent',
    };
  }

  private timings(prefillTokens: number, decodeTokens: number): EngineTimings | undefined {
    const prefillNs = countOf(this.fields.raw('promptNs'));
    const decodeNs = countOf(this.fields.raw('outputNs'));
    if (prefillNs === undefined && decodeNs === undefined) return undefined;
    return {
      prefillTokens,
      prefillMs: (prefillNs ?? 0) / NANOSECONDS_PER_MS,
      decodeTokens,
      decodeMs: (decodeNs ?? 0) / NANOSECONDS_PER_MS,
    };
  }
}
