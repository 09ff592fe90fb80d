import type { Basis } from '@meritorder/contracts';
import { decimal } from './amounts.js';
import type { Scored } from './score.js';

/** A budget on a candidate's path that has a shadow price, for the sentence. */
export interface ScarceBudget {
  readonly budget: string;
  readonly basis: Basis;
  readonly shadowPrice: number;
}

/** What the score counts of one candidate beyond another, part by part; USD, below 0 where it counts less. */
export interface Counted {
  /** What its money counts under the objective, shadow prices included. */
  readonly moneyUsd: number;
  /** Of that, what shadow prices make of it. */
  readonly scarceUsd: number;
  /** For others that would wait for the hardware. */
  readonly crowdingUsd: number;
  readonly lateUsd: number;
  /** Whose shadow prices make the difference, those that make most of it first. */
  readonly scarce: readonly Pick<ScarceBudget, 'budget' | 'shadowPrice'>[];
}

/** A part that is less than this share of all is not told. */
const NEGLIGIBLE_SHARE = 0.01;
/** Nor is less than half a nano-dollar. */
const NEGLIGIBLE_USD = 5e-10;
/** Budgets that a sentence names. */
const MOST_NAMED = 3;

/** @param scarceOn the budgets with a shadow price on a candidate's path */
export function countedBeyond(
  other: Scored,
  than: Scored,
  usdPerSecondLate: number,
  scarceOn: (id: string) => readonly ScarceBudget[],
): Counted {
  const crowding = ({ candidate: c }: Scored): number => c.usdPerGpuSecond * c.gpuSeconds;
  const scarce = ({ candidate: c }: Scored): number => c.shadowCash * c.cashUsd + c.shadowFull * c.fullUsd;
  const late = ({ candidate: c }: Scored): number => usdPerSecondLate * c.lateSeconds;
  return {
    moneyUsd: other.moneyUsd - than.moneyUsd,
    scarceUsd: scarce(other) - scarce(than),
    crowdingUsd: crowding(other) - crowding(than),
    lateUsd: late(other) - late(than),
    scarce: deciding(other, than, scarceOn),
  };
}

function deciding(other: Scored, than: Scored, scarceOn: (id: string) => readonly ScarceBudget[]): Counted['scarce'] {
  const effects = new Map<string, { budget: string; shadowPrice: number; usd: number }>();
  for (const [{ candidate }, sign] of [[other, 1] as const, [than, -1] as const])
    for (const { budget, basis, shadowPrice } of scarceOn(candidate.id)) {
      const known = effects.get(budget) ?? { budget, shadowPrice, usd: 0 };
      known.usd += sign * shadowPrice * (basis === 'cash' ? candidate.cashUsd : candidate.fullUsd);
      effects.set(budget, known);
    }
  const all = [...effects.values()];
  const told = toldOf(all.map(({ usd }) => usd));
  return all.filter(({ usd }) => told(usd)).toSorted((a, b) => Math.abs(b.usd) - Math.abs(a.usd));
}

/** " at eng-month's shadow price of .9"; of several, the sum. */
export function atShadowPrices({ scarce }: Counted): string {
  const [first] = scarce;
  if (first === undefined) return '';
  if (scarce.length === 1) return ` at ${first.budget}'s shadow price of ${decimal(first.shadowPrice)}`;
  const named = scarce.slice(0, MOST_NAMED).map((b) => `${b.budget} (${decimal(b.shadowPrice)})`);
  const rest = scarce.length - named.length;
  return ` at the shadow prices of ${listed([...named, ...(rest > 0 ? [`${rest} more`] : [])])} together`;
}

/** What counts beside money: "$0.0200 more for the others it would keep waiting". */
export function besideMoney(counted: Counted, usd: (value: number) => string): string[] {
  const { moneyUsd, crowdingUsd, lateUsd } = counted;
  const told = toldOf([moneyUsd, crowdingUsd, lateUsd]);
  return [
    ...(told(crowdingUsd) ? [`${moreOrLess(crowdingUsd, usd)} for the others it would keep waiting`] : []),
    ...(told(lateUsd) ? [`${moreOrLess(lateUsd, usd)} for coming late`] : []),
  ];
}

/** "$0.0090 more". */
export function moreOrLess(value: number, usd: (value: number) => string): string {
  return `${usd(Math.abs(value))} ${value < 0 ? 'less' : 'more'}`;
}

/** "a", "a and b", "a, b and c". */
export function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function toldOf(parts: readonly number[]): (part: number) => boolean {
  const allUsd = parts.reduce((sum, part) => sum + Math.abs(part), 0);
  return (part) => Math.abs(part) >= Math.max(NEGLIGIBLE_USD, NEGLIGIBLE_SHARE * allUsd);
}
