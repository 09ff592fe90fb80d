import {
  DecisionExportReply,
  subjects,
  type DecisionExportRequest,
  type ExportedDecision,
} from '@meritorder/contracts';
import type { NatsConnection } from '@nats-io/transport-node';

export function spanOf(org: string | undefined, from: number, to: number): Omit<DecisionExportRequest, 'after'> {
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), ...(org ? { org } : {}) };
}

/** All of a period, page by page. */
export async function* exportedDecisions(
  nats: NatsConnection,
  span: Omit<DecisionExportRequest, 'after'>,
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
    yield* reply.decisions;
    if (reply.next === null) return;
    request = { ...span, after: reply.next };
  }
}
