import {
  DecisionExportReply,
  subjects,
  type DecisionExportRequest,
  type DecisionsOnRecord,
  type ExportedDecision,
} from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';

type Span = Omit<DecisionExportRequest, 'after'>;

/** @throws Error with one line for people, where it ends before it begins */
export function spanOf(org: string | undefined, from: number, to: number): Span {
  const span = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), ...(org ? { org } : {}) };
  if (from >= to) throw new Error(`--from ${span.from} is not before --to ${span.to}`);
  return span;
}

/** All of a period, page by page. @param nothing is told why, where there is none */
export async function* exportedDecisions(
  nats: NatsConnection,
  span: Span,
  nothing: (why: string) => void,
): AsyncGenerator<ExportedDecision> {
  let request: DecisionExportRequest = span;
  for (;;) {
    let answer: unknown;
    try {
      answer = (
        await nats.request(subjects.meteringDecisionExport(), JSON.stringify(request), { timeout: 60_000 })
      ).json();
    } catch (error) {
      throw new Error(`metering does not answer: ${(error as Error).message}; is it running?`);
    }
    const reply = DecisionExportReply.parse(answer);
    if ('error' in reply) throw new Error(reply.error.message);
    if (request.after === undefined && reply.decisions.length === 0 && reply.next === null)
      nothing(whyNothing(span, reply.onRecord));
    yield* reply.decisions;
    if (reply.next === null) return;
    request = { ...span, after: reply.next };
  }
}

/** One line for people: what there is none of, what there is instead, and what to do. `onRecord` undefined: not known. */
export function whyNothing({ org, from, to }: Span, onRecord: readonly DecisionsOnRecord[] | undefined): string {
  const none = `no decisions${org ? ` of org ${org}` : ''} from ${from} until before ${to} are on record`;
  if (onRecord === undefined) return none;
  if (onRecord.length === 0)
    return `${none}, nor of any other: none was made yet, metering did not run, or all are older than \`limits.decisionRetentionDays\``;
  const own = onRecord.filter((of) => org === undefined || of.org === org);
  const spans = (own.length > 0 ? own : onRecord).map((of) => `${of.org} from ${of.from} to ${of.to}`).join(', ');
  return own.length > 0
    ? `${none}; there are those of ${spans}: choose --from and --to to match`
    : `${none}; there are those of ${spans}: choose one of these with --org`;
}
