import { z } from 'zod';
import { POWER_METERS } from '../config/hosts-config.js';
import { Instant, Slug } from '../primitives.js';

/**
 * What a host's meters said of its energy. Stretches of time begin and end with minutes of the wall clock and their event's id is
 * host and beginning, so that two workers on one host count once.
 */
export const HardwareMeasuredV1 = z.object({
  host: Slug,
  worker: Slug,
  from: Instant,
  to: Instant,
  /** How much of that time the meters covered: a worker that starts within a minute has only its rest. */
  coveredMs: z.int().positive().max(3_600_000),
  /** Of all meters together; without what the building adds. */
  millijoules: z.int().nonnegative(),
  meters: z.array(z.enum(POWER_METERS)).min(1),
  /** Mean over GPUs and time, 0 to 1, where the meter says. */
  gpuUtilization: z.number().min(0).max(1).optional(),
});
export type HardwareMeasuredV1 = z.infer<typeof HardwareMeasuredV1>;
