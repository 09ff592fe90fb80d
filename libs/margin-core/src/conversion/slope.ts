import type { OrgConversion, Segment } from './segments.js';
import { trialsOf, type Trials } from './trials.js';

/** By what share conversion rises for a point of quality: at a slope of 1, .1 more quality converts a tenth more often. */
export interface Slope {
  readonly slope: number;
  readonly variance: number;
}

/**
 * Standard deviation of slopes before any is learned, around none: until it was seen, quality says nothing of conversion. No
 * data chose it; 100 conversions at qualities .1 apart count as much.
 */
const PRIOR_DEVIATION = 1;
/** Steeper ones are of noise: no backend would convert at all. */
const STEEPEST = 5;
const PRIOR_INFORMATION = 1 / PRIOR_DEVIATION ** 2;

export const noSlope = (): Slope => ({ slope: 0, variance: 1 / PRIOR_INFORMATION });

/**
 * The slope pooled over all segments: backends of one segment against that segment's rate and mean quality, so that a segment
 * that converts better for other reasons says nothing. Weighted as counts: sum x (conversions - trials rate) / sum trials rate x^2.
 */
export function slopeOf(state: OrgConversion): Slope {
  let information = PRIOR_INFORMATION;
  let sum = 0;
  for (const { all, backends, last } of state.segments.values()) {
    const quality = qualityOf(all);
    const trials = trialsOf(all);
    if (!last || quality === undefined || trials === 0 || all.conversions === 0) continue;
    const rate = all.conversions / trials;
    for (const own of backends.values()) {
      const apart = (qualityOf(own) ?? quality) - quality;
      const expected = rate * trialsOf(own);
      sum += apart * (own.conversions - expected);
      information += apart * apart * expected;
    }
  }
  return { slope: Math.min(STEEPEST, Math.max(-STEEPEST, sum / information)), variance: 1 / information };
}

/** The mean quality that was expected of the answers; undefined where none was stated. */
export function qualityOf({ quality, rated }: Trials): number | undefined {
  return rated > 0 ? quality / rated : undefined;
}

/** What a quality says of a backend's conversion against the org's: a factor, and its variance. */
export function liftOfQuality(state: OrgConversion, quality: number | undefined): { lift: number; variance: number } {
  const usual = qualityOf((state.segments.get('') as Segment).all);
  if (quality === undefined || usual === undefined) return { lift: 1, variance: 0 };
  const apart = quality - usual;
  return { lift: Math.max(0, 1 + state.slope.slope * apart), variance: apart * apart * state.slope.variance };
}
