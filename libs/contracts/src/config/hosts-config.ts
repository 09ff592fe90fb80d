import { usdToNanos } from '@meritorder/kernel';
import { z } from 'zod';
import { Slug } from '../primitives.js';
import { Usd } from './decimals.js';
import { IanaTimeZone } from './time-zone.js';

const Share = z.number().gt(0).max(1);

/** What the hardware itself costs: bought, or rented by the hour. */
const OwnedConfig = z
  .strictObject({
    purchaseUsd: Usd.meta({ description: 'Price of the whole host.' }),
    salvageUsd: Usd.default('0').meta({ description: 'What it will still be worth at the end of its life.' }),
    lifeYears: z.number().gt(0).max(50).meta({ description: 'A year is 8,760 hours.' }),
    inServiceFrom: z.iso.datetime().meta({ description: 'Before this instant the host costs nothing.' }),
    schedule: z
      .enum(['straight-line', 'declining-balance', 'sum-of-years', 'units-of-production'])
      .default('straight-line')
      .meta({
        description:
          'declining-balance: 2/lifeYears of the book value, straight line when that is more; units-of-production: by busy GPU-hours, so it is part of the marginal price.',
      }),
    lifetimeGpuHours: z
      .number()
      .gt(0)
      .max(10_000_000_000)
      .optional()
      .meta({ description: 'Of all GPUs together; for units-of-production.' }),
    capitalChargePercentPerYear: z.number().min(0).max(100).default(0).meta({ description: 'On the book value.' }),
  })
  .refine((o) => usdToNanos(o.salvageUsd) <= usdToNanos(o.purchaseUsd), {
    path: ['salvageUsd'],
    message: 'must not be above purchaseUsd',
  })
  .refine((o) => o.schedule !== 'units-of-production' || o.lifetimeGpuHours !== undefined, {
    path: ['lifetimeGpuHours'],
    message: 'units-of-production needs it',
  });

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

const TariffBandConfig = z
  .strictObject({
    days: z
      .array(z.enum(WEEKDAYS))
      .min(1)
      .max(7)
      .default([...WEEKDAYS])
      .meta({ description: 'The local days on which its hours lie.' }),
    fromHour: z.int().min(0).max(23),
    toHour: z.int().min(0).max(24).meta({
      description: 'Local hours; the first band that holds counts. At or below fromHour: over midnight.',
    }),
    usdPerKilowattHour: Usd,
  })
  .refine((b) => b.fromHour !== b.toHour, { path: ['toHour'], message: 'for the whole day write 0 to 24' });

/** What can be read on a GPU host: the GPUs' own power, and the energy counters of the processor packages. */
export const POWER_METERS = ['nvidia-smi', 'rapl'] as const;
export type PowerMeter = (typeof POWER_METERS)[number];

const PowerConfig = z
  .strictObject({
    idleWattsPerGpu: z.number().min(0).max(100_000),
    loadWattsPerGpu: z.number().min(0).max(100_000),
    pue: z.number().min(1).max(4).default(1).meta({ description: 'What the building adds for cooling.' }),
    usdPerKilowattHour: Usd.meta({ description: 'When no band of the tariff holds.' }),
    timeZone: IanaTimeZone.default('UTC').meta({ description: "Of the tariff's hours." }),
    tariff: z.array(TariffBandConfig).max(64).default([]),
    meters: z.array(z.enum(POWER_METERS)).max(POWER_METERS.length).default(['nvidia-smi']).meta({
      description:
        'What its worker reads. All of them have to answer, or the configured watts count; [] reads nothing. A host without GPUs: [rapl].',
    }),
    unmeasuredWatts: z.number().min(0).max(1_000_000).default(0).meta({
      description:
        'Of the whole host, what these meters do not see (fans, disks, power supplies): added to what they say.',
    }),
  })
  .refine((p) => p.idleWattsPerGpu <= p.loadWattsPerGpu, {
    path: ['loadWattsPerGpu'],
    message: 'must not be below idleWattsPerGpu',
  });

export const HostConfig = z
  .strictObject({
    id: Slug,
    name: z.string().max(128).optional(),
    gpus: z.int().min(1).max(1_024),
    owned: OwnedConfig.optional(),
    rented: z
      .strictObject({ usdPerGpuHour: Usd })
      .optional()
      .meta({ description: 'Paid for every hour, whether it works or not.' }),
    usdPerMonth: z
      .strictObject({
        maintenance: Usd.default('0'),
        hosting: Usd.default('0'),
        staff: Usd.default('0'),
        licences: Usd.default('0'),
      })
      .prefault({})
      .meta({ description: 'Of the whole host. A month is 730 hours.' }),
    power: PowerConfig.optional().meta({
      description: "A GPU's share of the whole server. Not needed where the rent includes power.",
    }),
    wearUsdPerGpuHour: Usd.default('0').meta({ description: 'Per hour in which a GPU is busy.' }),
    availability: Share.default(1).meta({ description: 'Share of all hours in which it can work.' }),
    practicalCapacity: Share.default(0.6).meta({
      description: 'The share of available time that fixed cost is spread over: a policy, not a measurement.',
    }),
  })
  .refine((h) => (h.owned === undefined) !== (h.rented === undefined), 'needs exactly one of owned and rented');
export type HostConfig = z.infer<typeof HostConfig>;

const TokensPerSecond = z.number().gt(0).max(100_000_000);

/** How fast one replica is: where the fit starts, and what prices rest on until enough was seen. */
export const ThroughputConfig = z.strictObject({
  gpus: z.int().min(1).max(1_024).default(1).meta({ description: 'GPUs of one replica; a backend is one replica.' }),
  prefillTokensPerSecond: TokensPerSecond.meta({ description: 'Of the replica.' }),
  prefillCounts: z
    .enum(['all', 'uncached'])
    .default('uncached')
    .meta({ description: 'Whether the prefill rate was measured on all input tokens or on uncached ones only.' }),
  decodeTokensPerSecond: z
    .union([
      TokensPerSecond,
      z
        .array(z.strictObject({ batch: z.number().gt(0).max(10_000), tokensPerSecond: TokensPerSecond }))
        .min(1)
        .max(64)
        .refine((points) => new Set(points.map((p) => p.batch)).size === points.length, 'a batch size is there twice'),
    ])
    .meta({ description: 'Of the replica with all streams together, or by batch size.' }),
  batch: z.number().gt(0).max(10_000).default(1).meta({ description: 'The batch size it really runs at.' }),
  fit: z.boolean().default(true).meta({ description: 'Follow what the engine reports.' }),
});
export type ThroughputConfig = z.infer<typeof ThroughputConfig>;
