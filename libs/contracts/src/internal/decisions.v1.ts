import { z } from 'zod';
import { RoutingDecisionMadeV1 } from '../events/routing-decision-made.v1.js';
import { Instant, NanosText, PriceVersion, Slug, Usage } from '../primitives.js';
import { OUTCOME_KINDS } from '../requests/outcome-report.v1.js';

/** `metering.decisions.v1`: an operator asks what was decided for a request, and what came of it. */
export const DecisionsRequest = z.object({
  requestId: Slug,
  /** Needed only where two orgs have a request of that id. */
  org: Slug.optional(),
});
export type DecisionsRequest = z.infer<typeof DecisionsRequest>;

/** What the books hold of an attempt. */
export const BookedAttempt = z.object({
  state: z.enum(['opened', 'confirmed', 'free', 'unconfirmed']),
  outcome: z.string().nullable(),
  /** Null while it is opened: its cost is not known. */
  cashNanos: NanosText.nullable(),
  fullNanos: NanosText.nullable(),
  /** What the customer is charged; absent: nothing is known of a charge. */
  chargedNanos: NanosText.optional(),
});
export type BookedAttempt = z.infer<typeof BookedAttempt>;

export const StoredOutcome = z.object({
  outcomeId: z.string(),
  kind: z.enum(OUTCOME_KINDS),
  /** 0..1; of what is true or false, 1 or 0; null: it has none. */
  value: z.number().nullable(),
  revenueNanos: NanosText.nullable(),
  occurredAt: Instant,
  reportedAt: Instant,
  /** Of the decision that it was joined with; null: it waits for one. */
  attemptNumber: z.int().min(1).nullable(),
});
export type StoredOutcome = z.infer<typeof StoredOutcome>;

export const DecisionsReply = z.union([
  z.object({
    org: Slug,
    requestId: Slug,
    /** Oldest first. */
    attempts: z.array(
      z.object({
        record: RoutingDecisionMadeV1,
        /** Null: none was sent, or none is booked yet. */
        booked: BookedAttempt.nullable(),
      }),
    ),
    outcomes: z.array(StoredOutcome),
  }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type DecisionsReply = z.infer<typeof DecisionsReply>;

/** A place in the order of an export, as the page before named it. */
const ExportPlace = z.object({ decidedAt: Instant, requestId: z.string(), decisionId: z.string() });

/** `metering.decision-export.v1`: an operator takes a period of decisions away, page by page. */
export const DecisionExportRequest = z.object({
  from: Instant,
  /** Until before then. */
  to: Instant,
  /** Default: all. */
  org: Slug.optional(),
  after: ExportPlace.optional(),
});
export type DecisionExportRequest = z.infer<typeof DecisionExportRequest>;

/** What was spent before a period that is exported, in the windows of budgets that are open at its beginning. */
export const PeriodOpening = z.object({
  from: Instant,
  /** Settled and unconfirmed, over all orgs; a window that is not here had spent nothing. */
  spent: z.array(z.object({ budget: Slug, window: z.string(), nanos: NanosText })),
  /** Of so many windows more, those that had spent least, it is not said; absent: of none. */
  windowsLeftOut: z.int().min(1).optional(),
});
export type PeriodOpening = z.infer<typeof PeriodOpening>;

/** A request: its first decision, and what came of it, as far as that is known. */
export const ExportedDecision = z.object({
  record: RoutingDecisionMadeV1,
  /** Of the attempt that answered. */
  usage: Usage.optional(),
  /** All its attempts. */
  booked: z.object({ cashNanos: NanosText, fullNanos: NanosText }).optional(),
  /** What was reported of it, 0..1: the mean of its outcomes by how much each says, and how much all say together. */
  quality: z.object({ value: z.number().min(0).max(1), weight: z.number().gt(0) }).optional(),
  /** With the first of an export. */
  opening: PeriodOpening.optional(),
  /** With the first of a page: the price versions that are in force from then until its last, as the book has them now. */
  prices: z.array(PriceVersion).optional(),
});
export type ExportedDecision = z.infer<typeof ExportedDecision>;

/** The first and the last decision on record of an org. */
export const DecisionsOnRecord = z.object({ org: Slug, from: Instant, to: Instant });
export type DecisionsOnRecord = z.infer<typeof DecisionsOnRecord>;

export const DecisionExportReply = z.union([
  z.object({
    decisions: z.array(ExportedDecision),
    /** Null: that was all. */
    next: ExportPlace.nullable(),
    /** Where there is nothing in the whole period: what there is instead, at most 100 orgs. */
    onRecord: z.array(DecisionsOnRecord).optional(),
  }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);
export type DecisionExportReply = z.infer<typeof DecisionExportReply>;
