import type { EngineTimings, ServiceTier, Usage } from '@meritorder/contracts';
import type { Picos } from '@meritorder/kernel';

/**
 * How the vector stands to the total that the backend sent.
 * - `sums`: the vector adds up to it.
 * - `none-sent`: the dialect's inclusion rule (README.md) alone says what lies inside what.
 * - `leaves-out-cache`, `leaves-out-reasoning`: the total is of the other tokens; these are billed beside it.
 * - `mismatch`: it is none of these. The vector is the dialect's rule, and somebody should look.
 */
export type TotalRule = 'sums' | 'none-sent' | 'leaves-out-cache' | 'leaves-out-reasoning' | 'mismatch';

/** Tokens of one call that another model than the served one used, and that are billed at its prices. */
export interface OtherModelUsage {
  model: string;
  usage: Usage;
}

/** What a backend has said of one call, as far as it was heard. */
export interface UsageReading {
  /** Undefined: nothing usable was said. */
  usage: Usage | undefined;
  /** Of `usage`. */
  basis: 'reported' | 'engine-timings' | undefined;
  /** Whether `usage` is the backend's last word; false: it is of an unfinished stream, and more was or will be generated. */
  complete: boolean;
  servedModel: string | undefined;
  servedTier: ServiceTier | undefined;
  /** The backend's own id of the call, as its invoice names it. */
  providerCallId: string | undefined;
  timings: EngineTimings | undefined;
  /** What the backend says that the call was charged. */
  statedPicos: Picos | undefined;
  /** The provider's own total of tokens. */
  reportedTotalTokens: number | undefined;
  totalRule: TotalRule;
  otherModels: OtherModelUsage[];
  /**
   * What was wrong or out of the ordinary: `corrupt:<field>` (not a count, so there is no usage; `corrupt:charge`: no amount, so there is no charge), `clamped:<count>`,
   * `outside:<part>` (by the total, although the dialect has it inside), `unlisted:<n>` (tokens that only the total has, taken
   * as output), `tier:<name>` (a tier that has no price list of its own here).
   */
  notes: string[];
}

/** What a dialect contributes to a reading. */
export type DialectReading = Partial<UsageReading> & { complete: boolean };

/** Tokens of a vector, of every kind. Citations are tokens that no total contains. */
export function totalTokensOf(usage: Usage): number {
  let total =
    usage.inputTokens +
    usage.cacheReadTokens +
    usage.cacheWrite5mTokens +
    usage.cacheWrite1hTokens +
    usage.outputTokens;
  for (const [unit, count] of Object.entries(usage.units ?? {}))
    if (unit.endsWith('Tokens') && unit !== 'citationTokens') total += count;
  return total;
}

export function totalRuleOf(usage: Usage, reportedTotalTokens: number | undefined): TotalRule {
  if (reportedTotalTokens === undefined) return 'none-sent';
  const missing = totalTokensOf(usage) - reportedTotalTokens;
  if (missing === 0) return 'sums';
  if (missing === usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens)
    return 'leaves-out-cache';
  if (missing === usage.reasoningTokens) return 'leaves-out-reasoning';
  return 'mismatch';
}

/** A reading with the vector that the backend reported, and how that stands to the total it sent. */
export function withReported(
  reading: DialectReading,
  usage: Usage,
  { complete, reportedTotalTokens }: { complete: boolean; reportedTotalTokens: number | undefined },
): DialectReading {
  return {
    ...reading,
    usage,
    basis: 'reported',
    complete,
    reportedTotalTokens,
    totalRule: totalRuleOf(usage, reportedTotalTokens),
  };
}
