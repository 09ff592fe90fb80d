/** What a caller reported of an answer, as `outcome.reported` says it. */
export interface ReportedOutcome {
  readonly kind: 'thumbs' | 'retry' | 'edit' | 'judge' | 'schema' | 'conversion';
  /** A number is 0..1. */
  readonly value?: number | boolean | undefined;
}

/** What an outcome says of the answer. */
export interface OutcomeReading {
  /** How good the answer was, 0..1, and how much the outcome says of it, above 0 to 1; absent: nothing. */
  readonly quality?: { readonly value: number; readonly weight: number };
  /** Of a conversion: whether it is one, or takes one back. */
  readonly converted?: boolean;
}

/**
 * How much one outcome of a kind counts beside a judge's word, which is 1. They are priors of judgement, not fitted to data: a
 * retry may come of impatience, an edit of taste, and an answer in the right form may still be a wrong one. Both answers to a question
 * weigh the same: else the mean of many leans to the heavier one.
 */
const WEIGHTS = { thumbs: 1, judge: 1, edit: 0.7, retry: 0.5, schema: 0.3 } as const;

/**
 * The quality that an outcome is evidence of. Pure. A conversion says nothing of it: it is learned by itself, as a chance per
 * segment.
 *
 * @returns undefined when the value is not one of its kind (the schema of a report lets none of those through)
 */
export function qualityOfOutcome({ kind, value }: ReportedOutcome): OutcomeReading | undefined {
  switch (kind) {
    case 'thumbs':
    case 'schema':
      return typeof value === 'boolean' ? reading(value ? 1 : 0, WEIGHTS[kind]) : undefined;
    case 'judge':
    case 'edit':
      return typeof value === 'number' && value >= 0 && value <= 1 ? reading(value, WEIGHTS[kind]) : undefined;
    case 'retry':
      return reading(0, WEIGHTS.retry);
    case 'conversion':
      return typeof value === 'number' ? undefined : { converted: value ?? true };
  }
}

function reading(value: number, weight: number): OutcomeReading {
  return { quality: { value, weight } };
}
