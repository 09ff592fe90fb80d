import { z } from 'zod';
import { LimitShare, WindowKind } from '../internal/budget-definition.v1.js';
import { Slug } from '../primitives.js';
import { Percent, TimeZone, Usd, UsdPerMillion, UsdPerThousand, UsdPerUnit } from './decimals.js';

const TimeOfDayUtc = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day in UTC such as "16:30"');

/**
 * Prices of one kind of money. Where the catalogue knows the model, what is left out is the catalogue's; where it does not,
 * input and output are needed, cached tokens default to the input price, and zero must be written.
 */
export const RatesConfig = z.strictObject({
  inputUsdPerMillionTokens: UsdPerMillion.optional(),
  outputUsdPerMillionTokens: UsdPerMillion.optional().meta({ description: 'Reasoning is output.' }),
  cacheReadUsdPerMillionTokens: UsdPerMillion.optional().meta({ description: 'Default: the input price.' }),
  cacheWrite5mUsdPerMillionTokens: UsdPerMillion.optional().meta({ description: 'Default: the input price.' }),
  cacheWrite1hUsdPerMillionTokens: UsdPerMillion.optional().meta({
    description: 'Default: the 5-minute cache-write price.',
  }),
  reasoningUsdPerMillionTokens: UsdPerMillion.optional().meta({
    description: 'Only where reasoning has a price of its own.',
  }),
  requestUsd: Usd.optional().meta({ description: 'Per request. Default: none.' }),
  inputAudioUsdPerMillionTokens: UsdPerMillion.optional(),
  inputImageUsdPerMillionTokens: UsdPerMillion.optional(),
  inputVideoUsdPerMillionTokens: UsdPerMillion.optional(),
  cacheReadAudioUsdPerMillionTokens: UsdPerMillion.optional(),
  cacheReadImageUsdPerMillionTokens: UsdPerMillion.optional(),
  cacheReadVideoUsdPerMillionTokens: UsdPerMillion.optional(),
  outputAudioUsdPerMillionTokens: UsdPerMillion.optional(),
  outputImageUsdPerMillionTokens: UsdPerMillion.optional(),
  outputVideoUsdPerMillionTokens: UsdPerMillion.optional(),
  citationUsdPerMillionTokens: UsdPerMillion.optional(),
  webSearchUsdPerThousand: UsdPerThousand.optional(),
  fileSearchUsdPerThousand: UsdPerThousand.optional(),
  codeExecutionUsdPerThousand: UsdPerThousand.optional(),
  pageUsdPerThousand: UsdPerThousand.optional(),
  audioUsdPerHour: Usd.optional(),
});
export type RatesConfig = z.infer<typeof RatesConfig>;

export const RateTableConfig = RatesConfig.extend({
  contextTiers: z
    .array(RatesConfig.extend({ overInputTokens: z.int().min(0) }))
    .max(8)
    .optional()
    .meta({ description: 'A request with more input tokens than this is priced by the tier as a whole.' }),
});
export type RateTableConfig = z.infer<typeof RateTableConfig>;

const ServiceTierConfig = RateTableConfig.extend({
  percentOfStandard: Percent.optional().meta({
    description: 'All standard rates times this, for example 50 for half price. Rates beside it win.',
  }),
});
export type ServiceTierConfig = z.infer<typeof ServiceTierConfig>;

export const RateCardConfig = RateTableConfig.extend({
  timeBands: z
    .array(RateTableConfig.extend({ fromUtc: TimeOfDayUtc, toUtc: TimeOfDayUtc }))
    .max(24)
    .optional()
    .meta({ description: 'By the instant of completion, UTC.' }),
  serviceTiers: z
    .strictObject({
      batch: ServiceTierConfig.optional(),
      flex: ServiceTierConfig.optional(),
      priority: ServiceTierConfig.optional(),
    })
    .optional()
    .meta({ description: 'The tier that was served is the one that is billed.' }),
});
export type RateCardConfig = z.infer<typeof RateCardConfig>;

export const PriceConfig = z.strictObject({
  effectiveFrom: z.iso.datetime().meta({ description: 'From when these prices hold.' }),
  cash: RateCardConfig.meta({ description: 'Paid to others, USD per 1M tokens. For own hardware write zeros.' }),
  full: RateCardConfig.optional().meta({ description: 'Including own hardware. Default: the same as cash.' }),
  marginal: RateCardConfig.optional().meta({
    description: 'What one more request adds on own hardware (energy, wear). Default: the same as cash.',
  }),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .optional()
    .meta({ description: 'Of the prices above, if not USD; needs an entry in exchangeRates.' }),
  source: z.string().max(500).default('meritorder.yaml'),
});
export type PriceConfig = z.infer<typeof PriceConfig>;

/** Another model that may answer in place of the one asked; billed by its own prices. */
export const OtherModelConfig = z.strictObject({
  model: z.string().min(1).max(256),
  catalogue: z.string().max(256).optional(),
  prices: z.array(PriceConfig).max(100).default([]),
});

export const AccountConfig = z.strictObject({
  provider: Slug.meta({ description: 'The provider account, as backends name it.' }),
  adjustments: z
    .array(
      z.strictObject({
        effectiveFrom: z.iso.datetime(),
        percent: Percent.meta({ description: '"-12.5": a negotiated discount; "5.5": a markup.' }),
        models: z
          .array(z.string().max(256))
          .optional()
          .meta({ description: 'Only these models; default: all of the account.' }),
      }),
    )
    .max(100)
    .default([]),
  allocation: z
    .strictObject({
      limitUsd: Usd,
      window: WindowKind.default('month'),
      timeZone: TimeZone.default('UTC'),
      throttleFrom: LimitShare.optional().meta({
        description: 'From this share of the allocation on, only `throttleRequestsPerMinute` reach the account.',
      }),
      throttleRequestsPerMinute: z.int().min(1).max(1_000_000).default(6),
    })
    .optional()
    .meta({ description: 'Credit or agreed spend at this provider: a cash budget across all orgs.' }),
  requestsPerMinute: z
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .meta({ description: "The account's limit. Never more in any minute, at most a tenth of it at once." }),
  tokensPerMinute: z
    .int()
    .min(1)
    .max(10_000_000_000)
    .optional()
    .meta({ description: "The account's limit on input and output tokens, by what is expected of a request." }),
});
export type AccountConfig = z.infer<typeof AccountConfig>;

export const ExchangeRateConfig = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/),
  from: z.iso.datetime().meta({ description: 'From when this rate is used for prices in the currency.' }),
  usdPerUnit: UsdPerUnit,
  source: z.string().max(200).default('meritorder.yaml'),
});
export type ExchangeRateConfig = z.infer<typeof ExchangeRateConfig>;
