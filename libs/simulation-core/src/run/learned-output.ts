import { estimateOutput, learnOutput, type OutputEstimate, type OutputLengths } from '@meritorder/estimate-core';
import type { BackendEstimate } from '@meritorder/routing-core';
import type { RecordedRequest } from '../workload/workload.js';

/** An estimate is made again when its keys have learned this share more: between, a run of a million would do nothing else. */
const STALE_SHARE = 1 / 64;
const LONGEST = 10_000_000;

/** What is expected of the answers of one profile, learned as they end. */
export class LearnedOutput {
  private known: OutputEstimate | undefined;
  private seen = -1;

  constructor(private readonly chain: readonly OutputLengths[]) {}

  estimate(): OutputEstimate {
    const seen = this.chain[0]!.seen;
    if (this.known === undefined || seen > this.seen * (1 + STALE_SHARE)) {
      this.known = estimateOutput(this.chain, LONGEST);
      this.seen = seen;
    }
    return this.known;
  }

  learn(tokens: number, maxTokens: number): void {
    const { p95, p99 } = this.estimate();
    learnOutput(this.chain, { tokens, maxTokens, stated: { p95, p99 } });
  }
}

/** Input is taken to be estimated rightly; its bound is the record's, or a factor on it. */
export function estimateFor(
  output: LearnedOutput,
  recorded: RecordedRequest | undefined,
  inputTokens: number,
  boundFactor: number,
): BackendEstimate {
  const lengths = output.estimate();
  const bound = recorded?.inputTokensBound ?? Math.ceil(inputTokens * boundFactor);
  return {
    inputTokensExpected: inputTokens,
    // The record has no sizes of single inputs; whoever had no room for one is among those that were unable.
    ...(recorded?.kind === 'embeddings' ? { contextTokensExpected: 0 } : {}),
    cacheReadTokensExpected: 0,
    cacheWriteTokensExpected: 0,
    inputTokensBound: bound,
    inputTokensUpper: bound,
    outputTokensExpected: recorded?.outputTokensExpected ?? lengths.expected,
    outputTokensP95: lengths.p95,
    outputTokensP99: lengths.p99,
  };
}

/** With what the decision expected of the request at the backend: decided by anything else it would not be the same decision. */
export function asExpected(estimate: BackendEstimate, recorded: RecordedRequest, backend: string): BackendEstimate {
  const candidate = recorded.candidates.get(backend);
  if (candidate === undefined) return estimate;
  const {
    inputTokensExpected = estimate.inputTokensExpected,
    outputTokensExpected = estimate.outputTokensExpected,
    cacheReadTokens,
  } = candidate;
  return {
    ...estimate,
    inputTokensExpected,
    outputTokensExpected,
    cacheReadTokensExpected: Math.min(inputTokensExpected, cacheReadTokens),
  };
}
