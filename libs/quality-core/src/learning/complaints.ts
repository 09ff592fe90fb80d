/**
 * What is reported of the requests of one general tag. Some report what is bad alone: a retry, an edit, a thumb down. Of these the
 * mean says nothing, since the answers that nobody complained of are not in it; their share among all answers does.
 */
export interface Reports {
  /** Decayed weights: of all, and of what they found good. */
  all: number;
  praise: number;
  /** Since when answers are counted, because reports are complaints alone, epoch ms; null: they are not. */
  countedSinceMs: number | null;
  /** Of the last report. */
  lastAtMs: number;
}

/** Reports of less praise are complaints alone. Whoever reports both sides has more, or bad answers throughout: then a share says so too. */
const LEAST_PRAISE = 0.1;
/** After so long without a report nobody reports any more, and silence says nothing. */
const SILENT_MS = 14 * 86_400_000;
export const TAGS_REPORTED_MOST = 256;

/** What an answer counts that nobody complained of, where others are complained of; one that is complained of counts 1. */
export const SILENT_ANSWER = 0.5;

/** One report. */
export interface Reported {
  /** How much of it praises, or might have: 0..1. */
  readonly praise: number;
  readonly weight: number;
  /** When its request was decided, and when it was reported, epoch ms. */
  readonly decidedAtMs: number;
  readonly atMs: number;
}

/**
 * Notes a report of a tag. The first complaint begins the counting of answers, and is none itself: no answers stand against it, nor
 * against those of requests that came before.
 *
 * @returns how it is to be learned: as an outcome by itself, as a complaint among answers, or not at all
 */
export function noteReport(
  byTag: Map<string, Reports>,
  tag: string,
  { praise, weight, decidedAtMs, atMs }: Reported,
): 'outcome' | 'complaint' | 'nothing' {
  const own = byTag.get(tag) ?? { all: 0, praise: 0, countedSinceMs: null, lastAtMs: atMs };
  byTag.delete(tag);
  if (byTag.size >= TAGS_REPORTED_MOST) byTag.delete(byTag.keys().next().value as string);
  byTag.set(tag, own);
  own.all += weight;
  own.praise += weight * praise;
  own.lastAtMs = Math.max(own.lastAtMs, atMs);
  if (own.praise >= LEAST_PRAISE * own.all) {
    own.countedSinceMs = null;
    return 'outcome';
  }
  if (own.countedSinceMs !== null) return decidedAtMs >= own.countedSinceMs ? 'complaint' : 'nothing';
  own.countedSinceMs = atMs;
  return 'nothing';
}

/** Whether an answer of that time is one of those that complaints are a share of. */
export function isCounted(byTag: ReadonlyMap<string, Reports>, tag: string, atMs: number): boolean {
  const since = byTag.get(tag)?.countedSinceMs ?? Infinity;
  return atMs >= since;
}

/** Keeps a share `factor`, of tags that were reported of lately. */
export function decayReports(byTag: Map<string, Reports>, factor: number, nowMs: number): void {
  for (const [tag, own] of byTag) {
    own.all *= factor;
    own.praise *= factor;
    if (nowMs - own.lastAtMs > SILENT_MS) byTag.delete(tag);
  }
}
