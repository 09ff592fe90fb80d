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
    /** What the customer is charged by the request's tier. Absent: the tier has no charge. */
    charged_usd: UsdText.optional(),
    /**
     * `estimated`: the backend said nothing of its usage, so it was counted here. `unconfirmed`: it said nothing, or served what no
     * price is known of (a tier, a model, a search); its invoice tells.
     */
    basis: z.enum(['confirmed', 'estimated', 'unconfirmed']),
    price_version: Slug,
  }),
  /** As of the reservation. */
  budgets_left: z.array(z.object({ budget: Slug, window: z.string(), basis: Basis, left_usd: UsdText })),
  reason: z.string(),
  /** The answer ended before it was complete because its hold could not grow any more. Its last chunk says `length`. */
  ended_by: z
    .object({
      /** `budget`: the one that is named has no room; `unextended`: nobody could say, since the router or the epoch is gone. */
      cause: z.enum(['budget', 'unextended']),
      budget: Slug.optional(),
      window: z.string().optional(),
      message: z.string(),
    })
    .optional(),
});
export type Receipt = z.infer<typeof Receipt>;
