import { invariant } from '@meritorder/kernel';
import { normalAbove } from '../statistics/normal.js';
import { requestsPerArm, USUAL_CERTAINTY, type Certainty } from '../statistics/sample-size.js';

/** A backend in a comparison; `predictConversion` gives the first three numbers. */
export interface Arm {
  readonly backend: string;
  readonly conversion: number;
  readonly variance: number;
  /** Ripe requests of its own. */
  readonly trials: number;
  /** Expected cost of a request, USD. */
  readonly costUsd: number;
  /** Sum of the shadow prices of the budgets that pay for it, at least 0. */
  readonly shadowPrice: number;
}

export interface Upgrade {
  /** What serves the segment now, and what might. */
  readonly from: Arm;
  readonly to: Arm;
  /** R: what a conversion brings, USD, at least 0. */
  readonly revenueUsd: number;
}

export interface UpgradeVerdict {
  readonly verdict: 'upgrade' | 'stay' | 'not-enough-data';
  /** Both sides of R dP > d((1 + sum of lambda) C); USD a request. */
  readonly gainUsd: number;
  readonly extraUsd: number;
  /** The difference in conversion that has to be seen, and the requests per arm that seeing it takes; 0: it needs none. */
  readonly difference: number;
  readonly requestsNeeded: number;
  /** Of the arm that has fewer. */
  readonly requests: number;
  /** The inequality in words. */
  readonly sentence: string;
}

/** A smaller part of the rate is not asked for, however little would pay: seeing it takes more requests than it is worth. */
const LEAST_DIFFERENCE_SHARE = 0.1;

/**
 * Whether to serve a segment by another backend: R dP > d((1 + sum of lambda) C), each cost at the shadow prices of the budgets that
 * pay for it: (1 + sum of lambda) dC where these are the same (economics, section 4).
 *
 * The difference to be seen is the one at which the change pays, and at least a tenth of the present rate; it is set by money and
 * the present rate alone, never by the difference that happened to come out, so that looking often does not find one. Below the
 * requests that seeing it takes, in either arm, the verdict is `not-enough-data`. With these, a backend that is not cheaper must
 * also be seen to convert better at all, at the stated alpha. Where no difference in conversion could turn the verdict, no
 * data is asked for.
 *
 * @throws InvariantError on a revenue or shadow price below 0, a rate not within 0..1, or anything that is not finite
 */
export function upgradeVerdict(upgrade: Upgrade, certainty: Certainty = USUAL_CERTAINTY): UpgradeVerdict {
  check(upgrade);
  const { from, to, revenueUsd } = upgrade;
  const better = to.conversion - from.conversion;
  const gainUsd = revenueUsd * better;
  const extraUsd = (1 + to.shadowPrice) * to.costUsd - (1 + from.shadowPrice) * from.costUsd;
  const requests = Math.floor(Math.min(from.trials, to.trials));
  const isDecided = revenueUsd <= Math.abs(extraUsd) && extraUsd !== 0;
  const difference = isDecided ? 0 : differenceToSee(from.conversion, extraUsd / revenueUsd);
  const requestsNeeded = isDecided ? 0 : neededFor(from.conversion, difference, extraUsd >= 0, certainty);
  const isSeen = better > normalAbove(certainty.alpha / 2) * Math.sqrt(from.variance + to.variance);
  const pays = isDecided ? extraUsd < 0 : gainUsd > extraUsd && (extraUsd < 0 || isSeen);
  const verdict = requests < requestsNeeded ? 'not-enough-data' : pays ? 'upgrade' : 'stay';
  const numbers = { verdict, gainUsd, extraUsd, difference, requestsNeeded, requests } as const;
  return { ...numbers, sentence: sentenceOf(upgrade, numbers, isSeen) };
}

function check({ from, to, revenueUsd }: Upgrade): void {
  invariant(revenueUsd >= 0 && Number.isFinite(revenueUsd), `a revenue of ${revenueUsd} USD is not at least 0`);
  for (const { conversion, variance, trials, costUsd, shadowPrice } of [from, to]) {
    invariant(shadowPrice >= 0 && Number.isFinite(shadowPrice), `a shadow price of ${shadowPrice} is not at least 0`);
    invariant(conversion >= 0 && conversion <= 1, `a conversion of ${conversion} is not within 0..1`);
    invariant(variance >= 0 && trials >= 0, 'a variance and a number of trials are at least 0');
    invariant(Number.isFinite(variance) && Number.isFinite(costUsd), 'a variance and a cost are finite');
  }
}

/** @param paysFrom what the money counts more / R: from which difference in conversion the change pays; below 0: what it may lose */
function differenceToSee(rate: number, paysFrom: number): number {
  const least = LEAST_DIFFERENCE_SHARE * Math.min(rate, 1 - rate);
  return Math.max(least, Number.isFinite(paysFrom) ? Math.abs(paysFrom) : 0);
}

function neededFor(rate: number, difference: number, isDearer: boolean, certainty: Certainty): number {
  const other = isDearer ? Math.min(1, rate + difference) : Math.max(0, rate - difference);
  return requestsPerArm(rate, other, certainty);
}

function sentenceOf({ from, to, revenueUsd }: Upgrade, v: Omit<UpgradeVerdict, 'sentence'>, isSeen: boolean) {
  if (v.verdict === 'not-enough-data')
    return (
      `Not enough data: to see a difference of ${points(v.difference)} points on the ${percent(from.conversion)} of ` +
      `${from.backend} takes ${whole(v.requestsNeeded)} requests per arm; there are ${whole(from.trials)} of it and ` +
      `${whole(to.trials)} of ${to.backend}, those too young to have converted counted in part.`
    );
  const extra = to.costUsd - from.costUsd;
  const facts =
    `${to.backend} converts ${percent(to.conversion)} against ${percent(from.conversion)} of ${from.backend}: ` +
    `${signed(to.conversion - from.conversion)} points at ${usd(revenueUsd)} are worth ${usd(v.gainUsd)} a request, for ` +
    `${usd(Math.abs(extra))} ${extra < 0 ? 'less' : 'more'}${countsFor(extra, v.extraUsd, from, to)}`;
  if (v.verdict === 'upgrade') return `${facts}: it pays.`;
  return v.gainUsd > v.extraUsd && !isSeen
    ? `${facts}; after ${whole(v.requests)} requests that difference is no more than chance gives: stay.`
    : `${facts}: it does not pay.`;
}

/** What the difference counts where money is scarce for either. */
function countsFor(extra: number, extraUsd: number, from: Arm, to: Arm): string {
  if (from.shadowPrice === 0 && to.shadowPrice === 0) return '';
  const [ofFrom, ofTo] = [price(from.shadowPrice), price(to.shadowPrice)];
  const at = ofFrom === ofTo ? ofTo : `${ofTo} for ${to.backend} and ${ofFrom} for ${from.backend}`;
  const isOpposite = extra < 0 ? extraUsd > 0 : extraUsd < 0;
  const counts = isOpposite
    ? `but counts ${usd(Math.abs(extraUsd))} ${extraUsd < 0 ? 'less' : 'more'}`
    : `which counts ${usd(Math.abs(extraUsd))}`;
  return `, ${counts} at shadow prices of ${at}`;
}

/** Three significant digits: it is a mean of what moves. */
const price = (shadowPrice: number) => String(Number(shadowPrice.toPrecision(3)));
const percent = (rate: number) => `${(100 * rate).toFixed(2)} %`;
const points = (difference: number) => (100 * difference).toFixed(2);
const signed = (difference: number) => `${difference < 0 ? '-' : '+'}${points(Math.abs(difference))}`;
const whole = (count: number) => Math.floor(count).toLocaleString('en-US');
/** Two digits after the point for dollars, more for less than one: at least two that are not 0. */
function usd(value: number): string {
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : Math.min(9, Math.max(4, 1 - Math.floor(Math.log10(size))));
  return `${value < 0 ? '-' : ''}$${size.toFixed(digits)}`;
}
