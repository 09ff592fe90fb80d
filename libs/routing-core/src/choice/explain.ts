import type { DecisionPolicy } from '@meritorder/contracts';
import type { Decision } from './decide.js';
import type { Scored } from './score.js';

/** The dearest budget on a candidate's path, for the sentence. */
export interface ScarceBudget {
  readonly budget: string;
  readonly shadowPrice: number;
}

/**
 * One sentence for people: why the choice, and what the next better one would have cost. Its costs have the same decimals, so that
 * they compare: three significant digits of the largest. Quality, what it is worth, and shadow prices have two significant digits:
 * they are not known better.
 *
 * @param chosen where the counters took a later one than the first of the order, that one
 * @param tried backends that failed or refused before
 * @param scarce the budget with the highest shadow price on the path of a candidate; undefined: none has one
 */
export function explain(
  policy: DecisionPolicy,
  decision: Decision,
  chosen: Scored,
  tried: readonly string[],
  scarce: (id: string) => ScarceBudget | undefined,
): string {
  const { order, kind } = decision;
  const why =
    order[0] !== chosen ? passedOver(decision, chosen, tried) : `${KINDS[kind]}${beyondRoom(decision, chosen)}`;
  const after = tried.length > 0 ? `, after ${tried.join(', ')} could not take it` : '';
  const body =
    policy.objective === 'cheapest' ? cheapest(decision, chosen, tried) : compared(policy, decision, chosen, scarce);
  return `${chosen.candidate.id}: ${body}${why}${after}`;
}

const KINDS: Record<Decision['kind'], string> = {
  best: '',
  explored: '; tried to learn how good it is',
  'hold-out': '; of the group that is served as if nothing had been learned',
};

function passedOver({ order }: Decision, chosen: Scored, tried: readonly string[]): string {
  const before = order.slice(0, order.indexOf(chosen)).map((s) => s.candidate.id);
  const without = before.filter((id) => !tried.includes(id));
  return without.length === 0 ? '' : `; no budget had room for ${without.join(', ')}`;
}

/** Who would have been chosen but stands behind for want of room: the numbers alone would say otherwise. */
function beyondRoom({ order }: Decision, { candidate, scoreUsd }: Scored): string {
  if (candidate.beyondRoom) return '';
  const better = order.filter((s) => s.candidate.beyondRoom && s.scoreUsd > scoreUsd).map((s) => s.candidate.id);
  return better.length === 0 ? '' : `; ${better.join(', ')} may cost more than a budget can spare`;
}

function cheapest({ order }: Decision, chosen: Scored, tried: readonly string[]): string {
  const next = order.find((s) => s !== chosen && !tried.includes(s.candidate.id));
  const able = order.length === 1 ? 'the only able backend' : `the cheapest of ${order.length} able backends`;
  const busyUsd = crowdingUsd(chosen, next);
  const usd = usdOf(costOf(chosen), next ? costOf(next) : 0, busyUsd);
  const then = next ? `; next ${next.candidate.id} at ${usd(costOf(next))}` : '';
  const crowding = busyUsd > 0 ? ` and ${usd(busyUsd)} for the others it would keep waiting` : '';
  return `${able} at ${usd(costOf(chosen))} expected${then}${crowding}`;
}

/** Above 0 where it is crowding, not cost, that put the dearer one first. */
function crowdingUsd(chosen: Scored, next: Scored | undefined): number {
  if (next === undefined || costOf(next) >= costOf(chosen)) return 0;
  return next.candidate.usdPerGpuSecond * next.candidate.gpuSeconds;
}

function compared(
  policy: DecisionPolicy,
  { order }: Decision,
  chosen: Scored,
  scarce: (id: string) => ScarceBudget | undefined,
): string {
  const margin = policy.objective === 'margin';
  const worth = ({ candidate }: Scored): number =>
    margin ? (candidate.conversion ?? candidate.quality) : candidate.quality;
  const noun = margin ? 'expected conversion' : 'expected quality';
  const self = (usd: (value: number) => string): string =>
    `${decimal(worth(chosen))} ${noun} at ${usd(costOf(chosen))}`;
  // The one that would add most for its money among the better ones; where none is better, the next.
  const better = order.filter((s) => s !== chosen && worth(s) > worth(chosen));
  const other = better[0] ?? order.find((s) => s !== chosen);
  if (other === undefined) return `${self(usdOf(costOf(chosen)))}, the only able backend`;
  const gain = worth(other) - worth(chosen);
  const gainUsd = other.valueUsd - chosen.valueUsd;
  const moreUsd = costOf(other) - costOf(chosen);
  const countsUsd = -(other.scoreUsd - other.valueUsd) + (chosen.scoreUsd - chosen.valueUsd);
  const usd = usdOf(costOf(chosen), moreUsd, countsUsd);
  const scarcest = scarce(other.candidate.id);
  const at =
    scarcest && scarcest.shadowPrice > 0
      ? ` at ${scarcest.budget}'s shadow price of ${decimal(scarcest.shadowPrice)}`
      : '';
  const counts = Math.abs(countsUsd - moreUsd) < 5e-10 && at === '' ? '' : `, which counts ${usd(countsUsd)}${at}`;
  const verb =
    gain > 0 ? `would add ${decimal(gain)}` : gain < 0 ? `would lose ${decimal(-gain)}` : 'would add nothing';
  const money = moreUsd >= 0 ? `for ${usd(moreUsd)} more` : `and save ${usd(-moreUsd)}`;
  const unknown = margin ? notKnown(chosen, other) : '';
  return `${self(usd)}; ${other.candidate.id} ${verb}, worth ${worthUsd(gainUsd)} here, ${money}${counts}${unknown}`;
}

/** Where requests of its own do not say yet how often a backend converts. */
function notKnown(...of: Scored[]): string {
  const few = of.filter(({ candidate }) => candidate.conversionKnown === false).map(({ candidate }) => candidate.id);
  return few.length === 0 ? '' : `; not enough data on conversions of ${few.join(' and ')}`;
}

/** What it costs the operator to serve it once more. */
function costOf({ candidate }: Scored): number {
  return candidate.marginalUsd;
}

/** ".82", "1.5", "12". */
function decimal(value: number): string {
  const text = value >= 10 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
  return text.replace(/^0\./, '.');
}

/** Tells the costs of a sentence. One too small for their common decimals is told by two significant digits of its own. */
function usdOf(...costs: readonly number[]): (value: number) => string {
  const common = decimalsFor(Math.max(...costs.map(Math.abs)), 3);
  return (value) => {
    const amount = Math.abs(value);
    return amountOf(value, amount < 0.5 / 10 ** common ? decimalsFor(amount, 2) : common);
  };
}

function worthUsd(value: number): string {
  return amountOf(value, decimalsFor(Math.abs(value), 2));
}

/** As many as show so many significant digits: two at least, as money has, and nine at most, which are nano-dollars. */
function decimalsFor(amount: number, significant: number): number {
  return amount > 0 ? Math.min(9, Math.max(2, significant - 1 - Math.floor(Math.log10(amount)))) : 2;
}

/** Never in exponents. */
function amountOf(value: number, decimals: number): string {
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return '$0';
  return `${value < 0 ? '-' : ''}$${text}`;
}
