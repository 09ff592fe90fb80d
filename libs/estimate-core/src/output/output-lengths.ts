import { binOfLength, LENGTH_BINS, LONGEST_OF_BIN, MIDDLE_OF_BIN } from './length-bins.js';

/** The quantiles that are stated, and the share of requests that may be longer. */
export const QUANTILES = ['p95', 'p99'] as const;
export type Quantile = (typeof QUANTILES)[number];
const MISSES: Readonly<Record<Quantile, number>> = { p95: 0.05, p99: 0.01 };

/** What was learned of the lengths of one key's answers: constant size. */
export interface OutputLengths {
  /** Decayed numbers of answers by bin of length. */
  readonly counts: Float64Array;
  /** Their sum. */
  weight: number;
  /** Answers learned from since the key is known. */
  seen: number;
  /** The factor on the share of misses that each quantile aims at, as a logarithm; see `adapt`. */
  readonly aim: Record<Quantile, number>;
  /** Decayed number of answers whose quantiles were stated before, and of those that were no longer than stated. */
  judged: number;
  readonly covered: Record<Quantile, number>;
}

/** Answers after which one counts 1/e. */
const MEMORY_ANSWERS = 3_000;
/** Answers that a parent key's distribution counts as at first; it fades as the own tail fills, and is gone at this many. */
const PARENT_ANSWERS = 20;
const OWN_TAIL_ANSWERS = 400;
/**
 * How fast an aim follows misses. A miss at 1 % divides the share of misses that is aimed at by 1.6, and 100 answers within
 * make up for that. Whatever the lengths do, coverage over n answers is within ln(most / least) x nominal / (AIM_RATE x n) of
 * nominal as long as no end of the range is reached: for 4,000 answers .25 points at p99, 1.3 at p95. Source: the argument
 * of adaptive conformal inference (Gibbs and Candes 2021, proposition 4.1), on the logarithm of the level.
 */
const AIM_RATE = 0.005;
const AIM_LEAST = -Math.log(16);
const AIM_MOST = Math.log(10);
/** An aim moves this far (either way, by quantile) by chance alone while nothing is wrong: so far it is not acted upon. */
const AIM_NOISE: Readonly<Record<Quantile, number>> = {
  p95: Math.sqrt(AIM_RATE / (2 * MISSES.p95)),
  p99: Math.sqrt(AIM_RATE / (2 * MISSES.p99)),
};

/** `parent`: where the aims start. */
export function unlearnedLengths(parent?: OutputLengths): OutputLengths {
  return {
    counts: new Float64Array(LENGTH_BINS),
    weight: 0,
    seen: 0,
    aim: { p95: parent?.aim.p95 ?? 0, p99: parent?.aim.p99 ?? 0 },
    judged: 0,
    covered: { p95: 0, p99: 0 },
  };
}

/**
 * Before anything was learned: log-normal with a median of 200 tokens and a factor of 3.7, so that an answer is expected to
 * have about the 500 tokens of the seed's fallback, and one of a hundred more than 4,096.
 */
const PRIOR_MEDIAN_TOKENS = 200;
const PRIOR_LOG_DEVIATION = 1.3;
const PRIOR: Float64Array = priorShares();

function priorShares(): Float64Array {
  const shares = new Float64Array(LENGTH_BINS);
  for (let bin = 1; bin < LENGTH_BINS; bin++) {
    const middle = MIDDLE_OF_BIN[bin] as number;
    const z = Math.log(middle / PRIOR_MEDIAN_TOKENS) / PRIOR_LOG_DEVIATION;
    const width = (LONGEST_OF_BIN[bin] as number) - (LONGEST_OF_BIN[bin - 1] as number);
    shares[bin] = (Math.exp((-z * z) / 2) / middle) * width;
  }
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

/** A distribution of lengths; shares need not add up to 1. */
export interface LengthShares {
  readonly shares: Float64Array;
  readonly total: number;
}

/**
 * The distribution that a chain of keys stands for, from the most general to the most specific: each is laid over its parent's
 * as if PARENT_ANSWERS answers had had the parent's lengths, fewer as it learns of its own.
 */
export function mixLengths(chain: readonly (OutputLengths | undefined)[]): LengthShares {
  let mixed: LengthShares = { shares: PRIOR, total: 1 };
  for (const own of chain) {
    if (own === undefined || own.weight === 0) continue;
    const parent = (PARENT_ANSWERS * Math.max(0, 1 - own.weight / OWN_TAIL_ANSWERS)) / mixed.total;
    if (parent === 0) mixed = { shares: own.counts, total: own.weight };
    else {
      const above = mixed;
      const shares = new Float64Array(LENGTH_BINS);
      for (let bin = 0; bin < shares.length; bin++)
        shares[bin] = (own.counts[bin] as number) + parent * (above.shares[bin] as number);
      mixed = { shares, total: own.weight + parent * above.total };
    }
  }
  return mixed;
}

/** The length that a share of at most `misses` of the answers exceeds: the end of a bin, so on the safe side. Tokens. */
function quantileOf({ shares, total }: LengthShares, misses: number): number {
  let left = total * misses;
  let bin = shares.length - 1;
  while (bin > 0 && left >= (shares[bin] as number)) left -= shares[bin--] as number;
  return LONGEST_OF_BIN[bin] as number;
}

/** The mean length of answers that are cut at `maxTokens`. */
function meanOf({ shares, total }: LengthShares, maxTokens: number): number {
  const middles = MIDDLE_OF_BIN;
  let sum = 0;
  for (let bin = 0; bin < shares.length; bin++)
    sum += (shares[bin] as number) * Math.min(maxTokens, middles[bin] as number);
  return sum / total;
}

/** The lengths of answers of a chain of keys, the most general first, wherever they are cut. */
export class ExpectedLengths {
  constructor(private readonly chain: readonly (OutputLengths | undefined)[]) {}

  /** The mean where answers are cut at so many tokens. */
  meanUpTo(maxTokens: number): number {
    return meanOf(mixLengths(this.chain), maxTokens);
  }
}

export interface OutputEstimate {
  /** Tokens of one answer: the mean (not rounded), and quantiles. All at most `maxTokens`. */
  readonly expected: number;
  readonly p95: number;
  readonly p99: number;
  readonly basis: 'learned' | 'prior';
  /** Answers that the most specific known key learned from. */
  readonly seen: number;
  /**
   * Share of the answers, of those whose quantiles were stated before, that were no longer than stated, 0..1; and how many
   * there were, decayed. Of the most specific key that has any.
   */
  readonly coverage?: { readonly p95: number; readonly p99: number; readonly judged: number };
}

/** What to expect of an answer of a chain of keys, the most general first, that is cut at `maxTokens`. */
export function estimateOutput(chain: readonly (OutputLengths | undefined)[], maxTokens: number): OutputEstimate {
  const known = chain.filter((own) => own !== undefined && own.weight > 0) as OutputLengths[];
  const mixed = mixLengths(known);
  const own = known.at(-1);
  const judged = known.findLast((key) => key.judged > 0);
  const quantile = (q: Quantile): number => Math.min(maxTokens, quantileOf(mixed, aimedMisses(q, own)));
  const p95 = quantile('p95');
  return {
    expected: meanOf(mixed, maxTokens),
    p95,
    p99: Math.max(p95, quantile('p99')),
    basis: own === undefined ? 'prior' : 'learned',
    seen: own?.seen ?? 0,
    ...(judged === undefined
      ? {}
      : {
          coverage: {
            p95: judged.covered.p95 / judged.judged,
            p99: judged.covered.p99 / judged.judged,
            judged: judged.judged,
          },
        }),
  };
}

function aimedMisses(quantile: Quantile, own: OutputLengths | undefined): number {
  const aim = own?.aim[quantile] ?? 0;
  return MISSES[quantile] * Math.exp(Math.sign(aim) * Math.max(0, Math.abs(aim) - AIM_NOISE[quantile]));
}

/** One answer as it came. */
export interface OutputReport {
  /** Tokens of the answer. */
  readonly tokens: number;
  /** What it was allowed at most. */
  readonly maxTokens: number;
  /** It ended early for another reason than its own end: the caller left, the stream broke. */
  readonly cut?: boolean;
  /** The quantiles that were stated before it was sent. */
  readonly stated?: Readonly<Record<Quantile, number>>;
}

/**
 * Learns one answer into every key of a chain, the most general first. Each key is judged before it learns: by what was
 * stated, or else by what it would have said now.
 */
export function learnOutput(chain: readonly OutputLengths[], report: OutputReport): void {
  const estimates = chain.map((_, i) => estimateOutput(chain.slice(0, i + 1), report.maxTokens));
  chain.forEach((own, i) => {
    const now = estimates[i] as OutputEstimate;
    if (report.cut !== true) {
      own.judged = own.judged * KEEP + 1;
      for (const q of QUANTILES) {
        own.covered[q] = own.covered[q] * KEEP + (report.tokens <= (report.stated ?? now)[q] ? 1 : 0);
        adapt(own, q, report.tokens > now[q]);
      }
    }
    add(own, report);
  });
}

const KEEP = 1 - 1 / MEMORY_ANSWERS;

/** Moves the aimed share of misses towards where misses are as many as they should be. */
function adapt(own: OutputLengths, quantile: Quantile, missed: boolean): void {
  const step = (AIM_RATE * (MISSES[quantile] - (missed ? 1 : 0))) / MISSES[quantile];
  own.aim[quantile] = Math.min(AIM_MOST, Math.max(AIM_LEAST, own.aim[quantile] + step));
}

/**
 * An answer that reached what it was allowed, or was cut, would have been longer: it counts as the longer answers do, or as
 * itself where none is known (Efron's redistribution to the right, which gives the Kaplan-Meier estimate).
 */
function add(own: OutputLengths, { tokens, maxTokens, cut }: OutputReport): void {
  const { counts } = own;
  const { length } = counts;
  for (let bin = 0; bin < length; bin++) counts[bin] = (counts[bin] as number) * KEEP;
  const bin = binOfLength(tokens);
  let longer = 0;
  if (cut === true || tokens >= maxTokens) for (let i = bin + 1; i < length; i++) longer += counts[i] as number;
  if (longer > 0) {
    for (let i = bin + 1; i < length; i++) counts[i] = (counts[i] as number) * (1 + 1 / longer);
  } else counts[bin] = (counts[bin] as number) + 1;
  own.weight = own.weight * KEEP + 1;
  own.seen++;
}
