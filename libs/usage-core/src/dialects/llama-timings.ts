import type { EngineTimings, Usage } from '@meritorder/contracts';
import { disjointUsage } from '../disjoint-usage.js';
import { countOf, objectOf } from '../latest-fields.js';

interface Counted {
  evaluated: number;
  cached: number;
  predicted: number;
  promptMs: number;
  predictedMs: number;
}

/**
 * llama-server's `timings`: prompt tokens it evaluated (`prompt_n`), those it had in its cache (`cache_n`, disjoint from them),
 * tokens it predicted, and the milliseconds each took. Cumulative in a stream.
 */
export class LlamaTimings {
  private latest: Counted | undefined;

  /** @returns whether it was a block of timings. */
  note(value: unknown): boolean {
    const block = objectOf(value);
    if (!block) return false;
    const evaluated = countOf(block['prompt_n']);
    const predicted = countOf(block['predicted_n']);
    const cached = block['cache_n'] === undefined ? 0 : countOf(block['cache_n']);
    const whole = evaluated !== undefined && predicted !== undefined && cached !== undefined;
    this.latest = whole
      ? {
          evaluated,
          cached,
          predicted,
          promptMs: duration(block['prompt_ms']),
          predictedMs: duration(block['predicted_ms']),
        }
      : undefined;
    return whole;
  }

  get usage(): Usage | undefined {
    if (!this.latest) return undefined;
    const { evaluated, cached, predicted } = this.latest;
    return disjointUsage({ input: evaluated + cached, cacheRead: cached, output: predicted }).usage;
  }

  get timings(): EngineTimings | undefined {
    if (!this.latest) return undefined;
    const { evaluated, predicted, promptMs, predictedMs } = this.latest;
    return { prefillTokens: evaluated, prefillMs: promptMs, decodeTokens: predicted, decodeMs: predictedMs };
  }

  /** How much of a prompt of `promptTokens` came from the cache, where a usage block does not say it. */
  cachedOf(promptTokens: number): number | undefined {
    return this.latest && this.latest.evaluated + this.latest.cached === promptTokens ? this.latest.cached : undefined;
  }
}

function duration(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
}
