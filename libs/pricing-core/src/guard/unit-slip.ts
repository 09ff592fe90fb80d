import type { Picos } from '@meritorder/kernel';

interface Slip {
  factor: bigint;
  tooHigh: string;
  tooLow: string;
}

/** The slips that price tables really contain, by how often: per token, per 1K, cents (pitfall 40). */
const SLIPS: readonly Slip[] = [
  {
    factor: 1_000_000n,
    tooHigh: '1,000,000x: USD per 1M tokens typed as USD per token?',
    tooLow: '1,000,000x: USD per token typed as USD per 1M?',
  },
  {
    factor: 100_000n,
    tooHigh: '100,000x: cents per 1K tokens typed as USD per token?',
    tooLow: '100,000x: USD per token typed as cents per 1K?',
  },
  {
    factor: 1_000n,
    tooHigh: '1,000x: USD per 1M tokens typed as USD per 1K?',
    tooLow: '1,000x: USD per 1K tokens typed as USD per 1M?',
  },
  { factor: 100n, tooHigh: '100x: cents typed as USD?', tooLow: '100x: USD typed as cents?' },
];

/** Without a reference, 100,000x cannot be told from its neighbours and is the rarest of them. */
const EVERYDAY_SLIPS = SLIPS.filter((s) => s.factor !== 100_000n);

/** Corrected, a slip lands among everyday token prices: $0.01 to $100 per 1M tokens. */
const EVERYDAY = { from: 10_000n, to: 100_000_000n };

/**
 * Guesses the unit that was mixed up. With a reference (the price in force, the family's price), the slip must explain the
 * distance to within 3x; without, the corrected rate must be an everyday one.
 * @param picos the proposed token rate, pico-USD per token, positive.
 * @returns a hint, or undefined when no slip explains it.
 */
export function unitSlipHint(picos: Picos, reference?: Picos): string | undefined {
  if (reference !== undefined && reference > 0n) {
    for (const { factor, tooHigh, tooLow } of SLIPS) {
      if (near(picos, reference * factor)) return tooHigh;
      if (near(picos * factor, reference)) return tooLow;
    }
    return undefined;
  }
  if (picos > EVERYDAY.to) {
    return EVERYDAY_SLIPS.find((s) => picos / s.factor >= EVERYDAY.from && picos / s.factor <= EVERYDAY.to)?.tooHigh;
  }
  if (picos < EVERYDAY.from) {
    return EVERYDAY_SLIPS.find((s) => picos * s.factor >= EVERYDAY.from && picos * s.factor <= EVERYDAY.to)?.tooLow;
  }
  return undefined;
}

function near(a: bigint, b: bigint): boolean {
  return a <= b * 3n && b <= a * 3n;
}
