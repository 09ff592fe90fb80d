import { subjects, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import { meter } from '@meritorder/telemetry';
import type { Context } from '@opentelemetry/api';
import type { DecisionLog } from '../application/ports.js';

const MAX_UNACKNOWLEDGED = 10_000;

/** Decision records; a caller never waits for one. One that cannot be kept is counted and logged, never silent. */
export class NatsDecisionLog implements DecisionLog {
  private unacknowledged = 0;
  private readonly lost = meter().createCounter('meritorder_decision_records_lost', {
    description: 'Decision records that could not be kept',
  });

  constructor(
    private readonly bus: Bus,
    private readonly onError: (message: string) => void,
  ) {}

  record(decision: RoutingDecisionMadeV1, context: Context): void {
    if (this.unacknowledged >= MAX_UNACKNOWLEDGED) {
      this.lost.add(1);
      return this.onError(`decision record of ${decision.requestId} lost: ${MAX_UNACKNOWLEDGED} are unacknowledged`);
    }
    this.unacknowledged++;
    this.bus
      .publishEvent({
        type: 'routing.decision-made.v1',
        subject: subjects.routingDecisionMade(decision.attribution.org),
        id: `${decision.attribution.org}/${decision.requestId}/${decision.attemptId ?? `refused-${decision.attemptNumber}`}`,
        time: decision.decidedAt,
        data: decision,
        context,
      })
      .catch((error: Error) => {
        this.lost.add(1);
        this.onError(`decision record of ${decision.requestId} lost: ${error.message}`);
      })
      .finally(() => this.unacknowledged--);
  }
}
