import type { PriceConfig, PriceVersion, ServiceTier, Usage } from '@meritorder/contracts';
import { seededRandom } from '@meritorder/kernel';
import { cardFromConfig, type Served } from '@meritorder/pricing-core';

/** One attempt to be rated. */
export interface RatingCase {
  price: PriceVersion;
  usage: Usage;
  served: Served;
}

type Config = Pick<PriceConfig, 'cash' | 'full' | 'marginal'> & {
  share: number;
  accountFactor?: string;
  currency?: PriceVersion['currency'];
};

/** Backends as they are sold, with the share of the traffic that each gets. */
const BACKENDS: Config[] = [
  {
    share: 0.4,
    cash: {
      inputUsdPerMillionTokens: '0.40',
      cacheReadUsdPerMillionTokens: '0.10',
      outputUsdPerMillionTokens: '1.60',
      webSearchUsdPerThousand: '10',
      serviceTiers: { batch: { percentOfStandard: '50' }, priority: { percentOfStandard: '175' } },
    },
  },
  {
    share: 0.2,
    cash: {
      inputUsdPerMillionTokens: '3',
      cacheReadUsdPerMillionTokens: '0.30',
      cacheWrite5mUsdPerMillionTokens: '3.75',
      cacheWrite1hUsdPerMillionTokens: '6',
      outputUsdPerMillionTokens: '15',
      webSearchUsdPerThousand: '10',
      contextTiers: [
        {
          overInputTokens: 200_000,
          inputUsdPerMillionTokens: '6',
          cacheReadUsdPerMillionTokens: '0.60',
          cacheWrite5mUsdPerMillionTokens: '7.50',
          outputUsdPerMillionTokens: '22.50',
        },
      ],
    },
  },
  {
    share: 0.15,
    cash: {
      inputUsdPerMillionTokens: '0.30',
      cacheReadUsdPerMillionTokens: '0.03',
      outputUsdPerMillionTokens: '2.50',
      inputAudioUsdPerMillionTokens: '1',
    },
    accountFactor: '0.875',
  },
  {
    share: 0.1,
    cash: {
      inputUsdPerMillionTokens: '0.28',
      cacheReadUsdPerMillionTokens: '0.028',
      outputUsdPerMillionTokens: '0.42',
      timeBands: [
        { fromUtc: '16:30', toUtc: '00:30', inputUsdPerMillionTokens: '0.14', outputUsdPerMillionTokens: '0.21' },
      ],
    },
  },
  {
    share: 0.05,
    cash: { inputUsdPerMillionTokens: '0.37', outputUsdPerMillionTokens: '1.10' },
    currency: { code: 'EUR', usdPerUnit: '1.0842', rateId: 'EUR-2026-01-02 ECB' },
  },
  {
    share: 0.1,
    cash: { inputUsdPerMillionTokens: '0', outputUsdPerMillionTokens: '0' },
    full: { inputUsdPerMillionTokens: '0.0603', outputUsdPerMillionTokens: '0.3003' },
    marginal: { inputUsdPerMillionTokens: '0.004', outputUsdPerMillionTokens: '0.016' },
  },
];
const VERSIONS_A_BACKEND = 3;

function versions(): { share: number; price: PriceVersion }[] {
  return BACKENDS.flatMap(({ share, cash, full, marginal, accountFactor, currency }, i) =>
    Array.from({ length: VERSIONS_A_BACKEND }, (_, n) => {
      const card = cardFromConfig(cash, undefined, 'bench');
      return {
        share: share / VERSIONS_A_BACKEND,
        price: {
          id: `pv-${i}-${n}`,
          backend: `b${i}`,
          effectiveFrom: `2026-0${n + 1}-01T00:00:00.000Z`,
          cash: card,
          full: full ? cardFromConfig(full, undefined, 'bench') : card,
          ...(marginal ? { marginal: cardFromConfig(marginal, undefined, 'bench') } : {}),
          ...(accountFactor === undefined ? {} : { accountFactor }),
          ...(currency ? { currency } : {}),
          source: 'bench',
        },
      };
    }),
  );
}

/**
 * Attempts as a busy deployment closes them: mostly short prompts, half of them with a cached prefix, some beyond a long-context
 * cliff, some by tiers, with searches, with reasoning or with sound; at any time of day. Every usage is an object of its own.
 */
export function ratingMix(size: number, seed: number): RatingCase[] {
  const random = seededRandom(seed);
  const upTo = (max: number): number => Math.floor(random() * max);
  const all = versions();
  return Array.from({ length: size }, () => {
    let at = random();
    const { price } = all.find(({ share }) => (at -= share) < 0) ?? all.at(-1)!;
    const input = random() < 0.02 ? 150_000 + upTo(200_000) : 200 + upTo(6_000);
    const hit = random() < 0.5 ? Math.floor(input * random()) : 0;
    const written = price.cash.cacheWrite5mPicosPerToken === price.cash.inputPicosPerToken ? 0 : upTo(2) * upTo(1_000);
    const output = 20 + upTo(1_200);
    const sound = price.cash.unitPicos?.inputAudioTokens !== undefined && random() < 0.3;
    const usage: Usage = {
      inputTokens: input - hit,
      cacheReadTokens: hit,
      cacheWrite5mTokens: written,
      cacheWrite1hTokens: 0,
      outputTokens: output,
      requests: 1,
      ...(random() < 0.3 ? { reasoningTokens: upTo(output) } : {}),
      ...(sound ? { units: { inputAudioTokens: upTo(3_000) } } : {}),
      ...(price.cash.unitPicos?.webSearches !== undefined && random() < 0.05
        ? { units: { webSearches: 1 + upTo(4) } }
        : {}),
    };
    const tier: ServiceTier | undefined = price.cash.serviceTiers && random() < 0.15 ? 'batch' : undefined;
    return { price, usage, served: { tier, atMs: Date.UTC(2026, 5, 1) + upTo(86_400_000) } };
  });
}
