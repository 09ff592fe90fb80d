import { z } from 'zod';
import { AttributionValue, Instant, Slug, UsdText } from '../primitives.js';

export const OUTCOME_KINDS = ['thumbs', 'retry', 'edit', 'judge', 'schema', 'conversion'] as const;
export type OutcomeKind = (typeof OUTCOME_KINDS)[number];

/** `outcome.reported.v1.<org>`: what a request turned out to be worth. */
export const OutcomeReport = z
  .strictObject({
    request_id: Slug.meta({ description: 'Of the receipt.' }),
    outcome_id: AttributionValue.optional().meta({
      description:
        'Reported again with the same id it counts once. Default: the kind, so one of each kind per request.',
    }),
    kind: z.enum(OUTCOME_KINDS),
    value: z
      .union([z.number().min(0).max(1), z.boolean()])
      .optional()
      .meta({
        description:
          'thumbs: true is up. judge: the score, 0 to 1. edit: the share of the answer that was kept. schema: whether it was valid. conversion: false takes one back. retry takes none. Where complaints alone are reported of a feature (retries, edits, thumbs down), they are learned as a share of its answers; what is praised too, by itself.',
      }),
    revenue_usd: UsdText.optional().meta({ description: 'Of a conversion; negative: paid back.' }),
    occurred_at: Instant.optional().meta({
      description: 'Default: when it is received. Not yet to come, and no longer ago than decisions are kept.',
    }),
  })
  .superRefine((report, ctx) => {
    const issue = (path: string, message: string): void => ctx.addIssue({ code: 'custom', path: [path], message });
    if (report.revenue_usd !== undefined && report.kind !== 'conversion') issue('revenue_usd', 'only of a conversion');
    if (report.kind === 'retry' && report.value !== undefined) issue('value', 'a retry takes none');
    if ((report.kind === 'thumbs' || report.kind === 'schema') && typeof report.value !== 'boolean')
      issue('value', `${report.kind} needs true or false`);
    if ((report.kind === 'judge' || report.kind === 'edit') && typeof report.value !== 'number')
      issue('value', `${report.kind} needs a number from 0 to 1`);
    if (report.kind === 'conversion' && typeof report.value === 'number')
      issue('value', 'a conversion is true or false');
  });
export type OutcomeReport = z.infer<typeof OutcomeReport>;

/** Answer to a report, when it names an inbox. */
export const OutcomeReply = z.union([
  z.object({
    outcome_id: z.string(),
    /** `recorded`: new; `known`: had been reported before; `pending`: its request is not on record yet, and it is kept. */
    state: z.enum(['recorded', 'known', 'pending']),
  }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type OutcomeReply = z.infer<typeof OutcomeReply>;
