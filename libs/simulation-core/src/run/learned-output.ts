import { estimateOutput, learnOutput, type OutputEstimate, type OutputLengths } from '@meritorder/estimate-core';

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
