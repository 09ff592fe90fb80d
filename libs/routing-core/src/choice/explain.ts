import type { DecisionPolicy, PassedOver } from '@meritorder/contracts';
import { decimal, usdOf, worthUsd } from './amounts.js';
import {
  atShadowPrices,
  besideMoney,
  countedBeyond,
  listed,
  moreOrLess,
  type Counted,
  type ScarceBudget,
} from './counted.js';
import type { Decision } from './decide.js';
import { passedOverText } from './passed-over.js';
import { missesDeadline, type ScoreCandidate, type Scored } from './score.js';

export type { ScarceBudget } from './counted.js';

type ScarceOn = (id: string) => readonly ScarceBudget[];

/**
 * One sentence for people: why the choice, and what the next better one would have cost. Its costs have the same decimals, so that
 * they compare: three significant digits of the largest. Quality, what it is worth, and shadow prices have two significant digits:
 * they are not known better.
 *
 * @param chosen where the counters took a later one than the first of the order, that one
 * @param tried backends that failed or refused before
 * @param scarceOn the budgets with a shadow price on the path of a candidate
 * @param whyOver why the counters passed over a candidate before it; default: nobody knows
 */
export function explain(
  policy: DecisionPolicy,
  decision: Decision,
  chosen: Scored,
  tried: readonly string[],
  scarceOn: ScarceOn,
  whyOver: (id: string) => PassedOver | undefined = () => undefined,
): string {
  const { order, kind } = decision;
  const chose =
    order[0] !== chosen
      ? passedOver(decision, chosen, tried, whyOver)
      : `${KINDS[kind]}${beyondRoom(decision, chosen)}`;
  const why = `${chose}${sparedReplica(decision, chosen)}${tooLate(policy, decision, chosen)}`;
  const after = tried.length > 0 ? `, after ${tried.join(', ')} could not take it` : '';
  const body =
    policy.objective === 'cheapest'
      ? cheapest(policy, decision, chosen, tried, scarceOn)
      : compared(policy, decision, chosen, tried, scarceOn);
  return `${chosen.candidate.id}: ${body}${why}${after}`;
}

const KINDS: Record<Decision['kind'], string> = {
  best: '',
  explored: '; tried to learn how good it is',
  'hold-out': '; of the group that is served as if nothing had been learned',
};

function passedOver(
  { order }: Decision,
  chosen: Scored,
  tried: readonly string[],
  whyOver: (id: string) => PassedOver | undefined,
): string {
  const before = order.slice(0, order.indexOf(chosen)).map((s) => s.candidate.id);
  const without = before.filter((id) => !tried.includes(id));
  return without.length === 0 ? '' : `; ${passedOverText(without, whyOver)}`;
}

/** Who would have been chosen but stands behind for want of room: the numbers alone would say otherwise. */
function beyondRoom({ order }: Decision, { candidate, scoreUsd }: Scored): string {
  if (candidate.beyondRoom) return '';
  const better = order.filter((s) => s.candidate.beyondRoom && s.scoreUsd > scoreUsd).map((s) => s.candidate.id);
  return better.length === 0 ? '' : `; ${better.join(', ')} may cost more than a budget can spare`;
}

/** Whose score is better though a replica of it was asked: what spreads requests over replicas is in no score. */
function sparedReplica({ order }: Decision, chosen: Scored): string {
  const { replicaOf, replicaBy } = chosen.candidate;
  if (order[0] !== chosen || replicaOf === undefined || replicaBy === undefined) return '';
  const fits = (s: Scored): boolean => !s.candidate.beyondRoom || chosen.candidate.beyondRoom === true;
  const better = order.filter((s) => s.candidate.replicaOf === replicaOf && s.scoreUsd > chosen.scoreUsd && fits(s));
  if (better.length === 0) return '';
  const others = listed(better.map((s) => s.candidate.id));
  return `; ${others} ${better.length > 1 ? 'serve' : 'serves'} the same model, and ${chosen.candidate.id} ${REPLICAS[replicaBy]}`;
}

const REPLICAS: Record<NonNullable<ScoreCandidate['replicaBy']>, string> = {
  prefix: 'keeps what begins like this prompt warm',
  'two-choices': 'was the faster of two drawn at random, so that not all go to one',
  only: 'takes less time',
};

/** Who would have been before it but is expected after the deadline; or that it is so itself, for nobody else is left. */
function tooLate(policy: DecisionPolicy, { order }: Decision, chosen: Scored): string {
  const isLate = (s: Scored): boolean => missesDeadline(policy, s.candidate);
  const late = isLate(chosen) ? [chosen] : order.filter((s) => isLate(s) && s.scoreUsd >= chosen.scoreUsd);
  if (late.length === 0) return '';
  const who = isLate(chosen) ? 'it' : listed(late.map((s) => s.candidate.id));
  const after = listed(late.map(({ candidate: { latencySeconds = 0 } }) => `${seconds(latencySeconds)} s`));
  return `; ${who} would miss the deadline: expected after ${after} of the ${seconds(policy.deadlineSeconds ?? 0)} s left`;
}

function seconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function cheapest(
  policy: DecisionPolicy,
  { order }: Decision,
  chosen: Scored,
  tried: readonly string[],
  scarceOn: ScarceOn,
): string {
  const others = order.filter((s) => s !== chosen && !tried.includes(s.candidate.id));
  const next = others[0];
  const ownUsd = costOf(chosen);
  const usd = usdOf(ownUsd, next ? costOf(next) : 0);
  if (next === undefined) return `the only able backend at ${usd(ownUsd)} expected`;
  const of = `of ${others.length + 1} able backends`;
  const isCheaper = (s: Scored): boolean => costOf(s) < ownUsd;
  const cheaper = isCheaper(next) ? next : others.find(isCheaper);
  const then = `; next ${next.candidate.id} at ${usd(costOf(next))}`;
  if (cheaper === undefined) return `the cheapest ${of} at ${usd(ownUsd)} expected${then}`;
  // By its score the cheaper one would be first: what follows the sentence says why it is not.
  if (cheaper.scoreUsd >= chosen.scoreUsd) return `one ${of} at ${usd(ownUsd)} expected${then}`;
  return `not the cheapest ${of}${dearerFor(countedBeyond(cheaper, chosen, policy.usdPerSecondLate, scarceOn), chosen, cheaper)}`;
}

/** What a cheaper one counts beside its cost, for which it stands behind. */
function dearerFor(counted: Counted, chosen: Scored, cheaper: Scored): string {
  const { scarceUsd, crowdingUsd, lateUsd } = counted;
  const usd = usdOf(costOf(chosen), costOf(cheaper), scarceUsd, crowdingUsd, lateUsd);
  const at = atShadowPrices(counted);
  const parts = [...(at === '' ? [] : [`${moreOrLess(scarceUsd, usd)}${at}`]), ...besideMoney(counted, usd)];
  const counts = parts.length === 0 ? '' : ` counts ${listed(parts)}`;
  return ` at ${usd(costOf(chosen))} expected; ${cheaper.candidate.id} at ${usd(costOf(cheaper))}${counts}`;
}

function compared(
  policy: DecisionPolicy,
  { order }: Decision,
  chosen: Scored,
  tried: readonly string[],
  scarceOn: ScarceOn,
): string {
  const margin = policy.objective === 'margin';
  const worth = ({ candidate }: Scored): number =>
    margin ? (candidate.conversion ?? candidate.quality) : candidate.quality;
  const noun = margin ? 'expected conversion' : 'expected quality';
  const self = (usd: (value: number) => string): string =>
    `${decimal(worth(chosen))} ${noun} at ${usd(costOf(chosen))}`;
  // The one that would add most for its money among the better ones; where none is better, the next.
  const others = order.filter((s) => s !== chosen && !tried.includes(s.candidate.id));
  const other = others.find((s) => worth(s) > worth(chosen)) ?? others[0];
  if (other === undefined) return `${self(usdOf(costOf(chosen)))}, the only able backend`;
  const gain = worth(other) - worth(chosen);
  const gainUsd = other.valueUsd - chosen.valueUsd;
  const moreUsd = costOf(other) - costOf(chosen);
  const counted = countedBeyond(other, chosen, policy.usdPerSecondLate, scarceOn);
  const usd = usdOf(costOf(chosen), moreUsd, counted.moneyUsd, counted.crowdingUsd, counted.lateUsd);
  const verb =
    gain > 0 ? `would add ${decimal(gain)}` : gain < 0 ? `would lose ${decimal(-gain)}` : 'would add nothing';
  const money = moreUsd >= 0 ? `for ${usd(moreUsd)} more` : `and save ${usd(-moreUsd)}`;
  const unknown = margin ? notKnown(chosen, other) : '';
  return `${self(usd)}; ${other.candidate.id} ${verb}, worth ${worthUsd(gainUsd)} here${inTime(other, chosen)}, ${money}${countsFor(moreUsd, counted, usd)}${unknown}`;
}

/** Where it makes a difference to what they are worth: ", in time with 12 % against 98 %". */
function inTime(other: Scored, chosen: Scored): string {
  const [its, own] = [other, chosen].map(
    ({ candidate: { inTimeChance = 1 } }) => `${(100 * inTimeChance).toFixed(0)} %`,
  );
  return its === own || other.valueUsd === chosen.valueUsd ? '' : ` (in time with ${its} against ${own})`;
}

/** What a difference in cost counts, and what else does. */
function countsFor(moreUsd: number, counted: Counted, usd: (value: number) => string): string {
  const { moneyUsd } = counted;
  const at = atShadowPrices(counted);
  // Cheaper money may count more, and dearer less, where the two are not paid by the same budgets.
  const isOpposite = moreUsd < 0 ? moneyUsd > 0 : moneyUsd < 0;
  const counts = isOpposite
    ? `, but counts ${moreOrLess(moneyUsd, usd)}${at}`
    : `, which counts ${usd(Math.abs(moneyUsd))}${at}`;
  const beside = besideMoney(counted, usd);
  return [
    Math.abs(moneyUsd - moreUsd) < 5e-10 && at === '' ? '' : counts,
    beside.length === 0 ? '' : `, and ${listed(beside)}`,
  ].join('');
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
