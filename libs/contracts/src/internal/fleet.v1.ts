import { z } from 'zod';
import { Instant, Slug } from '../primitives.js';
import { EngineReport } from './work.v1.js';

/** `router.fleet.v1`, answered by every router: what it knows of each backend, the operator's view of the fleet. */
export const FleetReply = z.object({
  router: Slug,
  at: Instant,
  backends: z.array(
    z.object({
      id: Slug,
      kind: z.enum(['cloud', 'local']),
      host: Slug.optional(),
      provider: Slug,
      model: z.string(),
      /** Live workers. */
      workers: z.array(
        z.object({
          worker: Slug,
          inFlight: z.int().nonnegative(),
          maxConcurrency: z.int().positive(),
          engine: EngineReport.optional(),
        }),
      ),
      /** Since any worker was heard of, live or not; null: never by this router. */
      heardMsAgo: z.int().nonnegative().nullable(),
      /** What was heard last: it takes nothing, because it is ending or its engine is not there. */
      draining: z.boolean(),
      /** `failures`: the breaker is open; `probing`: it lets one call at a time through; `quota`: it was asked to wait. */
      breaker: z.enum(['closed', 'failures', 'probing', 'quota']),
      /** Of failures and quota: how much longer. */
      coolingMs: z.int().nonnegative().optional(),
      hasPrice: z.boolean(),
    }),
  ),
});
export type FleetReply = z.infer<typeof FleetReply>;
export type FleetBackend = FleetReply['backends'][number];
