import { z } from 'zod';
import { Basis, Slug, Usage, UsdText } from './primitives.js';

/** What an answer cost and why it went there; `meritorder` of the answer or of the stream's terminal message. */
export const Receipt = z.object({
  request_id: Slug,
  backend: Slug,
  model: z.string(),
  attempts: z.array(
    z.object({
      attempt_id: Slug,
      backend: Slug,
      outcome: z.enum(['finished', 'failed', 'cancelled', 'refused']),
      code: z.string().optional(),
    }),
  ),
  /** Absent when the backend sent none: the attempt is then booked as unconfirmed. */
  usage: Usage.optional(),
  cost: z.object({
    usd: UsdText,
    full_usd: UsdText,
    /** `estimated`: the backend said nothing of its usage, so it was counted here. */
    basis: z.enum(['confirmed', 'estimated', 'unconfirmed']),
    price_version: Slug,
  }),
  /** As of the reservation. */
  budgets_left: z.array(z.object({ budget: Slug, window: z.string(), basis: Basis, left_usd: UsdText })),
  reason: z.string(),
});
export type Receipt = z.infer<typeof Receipt>;
