import { z } from 'zod';
import { Instant, NanosText, Slug, UsdText } from '../primitives.js';

/** `metering.hardware.v1`: an operator asks what own hardware cost. Months are UTC. */
export const HardwareRequest = z.object({
  host: Slug.optional(),
  month: z
    .string()
    .regex(/^\d{4}-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-11')
    .optional(),
});
export type HardwareRequest = z.infer<typeof HardwareRequest>;

const TokenPrices = z.object({
  inputUsdPerMillionTokens: UsdText,
  cacheReadUsdPerMillionTokens: UsdText,
  outputUsdPerMillionTokens: UsdText,
});

/** Against one cloud backend of the same routes, at equal quality, which is assumed. */
export const HardwareBreakEven = z.object({
  cloud: Slug,
  verdict: z.enum(['from', 'beyond-full-use', 'never']),
  /** Share of available time from which own hardware is cheaper; above 1 it never is. */
  use: z.number().nonnegative().optional(),
  /** What the cloud asks for a million tokens of the mix, and what they add here. */
  cloudUsd: UsdText,
  marginalUsd: UsdText,
});
export type HardwareBreakEven = z.infer<typeof HardwareBreakEven>;

export const HardwareBackend = z.object({
  backend: Slug,
  attempts: z.int().nonnegative(),
  inputTokens: z.int().nonnegative(),
  cacheReadTokens: z.int().nonnegative(),
  outputTokens: z.int().nonnegative(),
  /** What prices rest on; absent where the configuration gives no throughput. */
  throughput: z
    .object({
      gpus: z.int().positive(),
      prefillTokensPerSecond: z.number().positive(),
      prefillBasis: z.enum(['configured', 'fitted']),
      decodeTokensPerSecond: z.number().positive(),
      decodeBasis: z.enum(['configured', 'fitted']),
      batch: z.number().positive(),
      attempts: z.int().nonnegative(),
    })
    .optional(),
  /** By the price in force; absent: none. */
  full: TokenPrices.optional(),
  marginal: TokenPrices.optional(),
  /** Of a million tokens that break-even is asked for: as they came in the month, or output alone where nothing came. */
  mix: z.object({
    inputTokens: z.int().nonnegative(),
    cacheReadTokens: z.int().nonnegative(),
    outputTokens: z.int().nonnegative(),
  }),
  breakEven: z.array(HardwareBreakEven),
});
export type HardwareBackend = z.infer<typeof HardwareBackend>;

export const HardwareRow = z.object({
  host: Slug,
  name: z.string(),
  from: Instant,
  to: Instant,
  /** Hours of the month that are closed; the others are not in the sums. */
  hoursClosed: z.int().nonnegative(),
  incurred: z.record(z.string(), NanosText),
  incurredNanos: NanosText,
  allocatedNanos: NanosText,
  /** Incurred less allocated: idle capacity, or below zero what was over-absorbed. */
  idleNanos: NanosText,
  /** Planned against actual; sums to `idleNanos`. */
  variances: z.record(z.string(), NanosText),
  attempts: z.int().nonnegative(),
  /** Of them those that were booked after their own hour had been closed. */
  lateAttempts: z.int().nonnegative(),
  gpuHours: z.object({
    available: z.number().nonnegative(),
    practical: z.number().nonnegative(),
    /** At the rates that prices rest on. */
    standard: z.number().nonnegative(),
    /** As the engines timed it. */
    busy: z.number().nonnegative(),
  }),
  energy: z.object({
    measuredHours: z.int().nonnegative(),
    partlyMeasuredHours: z.int().nonnegative(),
    configuredHours: z.int().nonnegative(),
    /** By the meters, without what the building adds. */
    measuredKilowattHours: z.number().nonnegative(),
    /** Mean over the measured time, 0 to 1, as the GPUs' own counters say; null where they say nothing. */
    gpuUtilization: z.number().min(0).max(1).nullable(),
  }),
  marginalUsdPerGpuHour: UsdText,
  fullUsdPerGpuHour: UsdText.nullable(),
  /** If all cost were spread over the use that there was; null without use. */
  absorbedAtActualUseUsdPerGpuHour: UsdText.nullable(),
  backends: z.array(HardwareBackend),
});
export type HardwareRow = z.infer<typeof HardwareRow>;

export const HardwareReply = z.union([
  z.object({ rows: z.array(HardwareRow) }),
  z.object({ error: z.object({ message: z.string() }) }),
]);
export type HardwareReply = z.infer<typeof HardwareReply>;
