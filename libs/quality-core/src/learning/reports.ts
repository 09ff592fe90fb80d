import { isCounted, noteReport } from './complaints.js';
import {
  countAnswer,
  decayQuality,
  learnOutcome,
  type Outcome,
  type OrgQuality,
  type QualityShift,
} from './quality.js';

/** What somebody reported of an answer, good or bad. */
export interface Report extends Outcome {
  /** When its request was decided, epoch ms. */
  readonly decidedAtMs: number;
  /** By who looks for good and bad alike, as a judge that gives scores. */
  readonly judged: boolean;
}

/** A request that was answered. */
export interface Answer {
  readonly model: string;
  /** As those of its context. */
  readonly tags: readonly string[];
  readonly atMs: number;
}

/**
 * Learns a report: by itself, where those of its most general tag find good and bad; as a share of the answers, where they are
 * complaints alone (`Reports`). Text is not learned of complaints: what it would be learned against is not known.
 *
 * @param pool learns the same, if the org shares
 * @returns the shift that it completed, if any
 */
export function learnReport(
  state: OrgQuality,
  report: Report,
  nowMs: number,
  pool?: OrgQuality,
): QualityShift | undefined {
  const { model, context, quality, weight = 1, judged, decidedAtMs, atMs = nowMs } = report;
  decayQuality(state, nowMs);
  const learned = noteReport(state.reports, generalOf(context.tags), {
    praise: judged ? 1 : quality,
    weight,
    decidedAtMs,
    atMs,
  });
  if (learned === 'complaint')
    for (const own of [state, pool])
      if (own) countAnswer(own, model, context.tags, { answers: 0, lost: 1 - quality }, nowMs);
  if (learned !== 'outcome') return undefined;
  const shift = learnOutcome(state, report, nowMs);
  if (pool) learnOutcome(pool, report, nowMs);
  return shift;
}

/** Counts an answer, where complaints are a share of them. @returns whether it was counted */
export function learnAnswer(
  state: OrgQuality,
  { model, tags, atMs }: Answer,
  nowMs: number,
  pool?: OrgQuality,
): boolean {
  decayQuality(state, nowMs);
  if (!isCounted(state.reports, generalOf(tags), atMs)) return false;
  for (const own of [state, pool]) if (own) countAnswer(own, model, tags, { answers: 1, lost: 0 }, nowMs);
  return true;
}

/** Who reports of a feature does so whatever its task and shape. */
const generalOf = (tags: readonly string[]): string => tags[0] ?? '';
