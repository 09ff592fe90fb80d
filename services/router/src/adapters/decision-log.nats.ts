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

  record(make: () => RoutingDecisionMadeV1, context: Context): void {
    if (this.unacknowledged >= MAX_UNACKNOWLEDGED) {
      this.lost.add(1);
      return this.onError(`a decision record is lost: ${MAX_UNACKNOWLEDGED} are unacknowledged`);
    }
    this.unacknowledged++;
    // A record of many candidates takes longer than the decision: what was decided is sent first.
    setImmediate(() => void this.publish(make, context));
  }

  private async publish(make: () => RoutingDecisionMadeV1, context: Context): Promise<void> {
    let of = '';
    try {
      const decision = make();
      const { org } = decision.attribution;
      of = ` of ${decision.requestId}`;
      await this.bus.publishEvent({
        type: 'routing.decision-made.v1',
        subject: subjects.routingDecisionMade(org),
        id: `${org}/${decision.requestId}/${decision.attemptId ?? `refused-${decision.attemptNumber}`}`,
        time: decision.decidedAt,
        data: decision,
        context,
      });
    } catch (error) {
      this.lost.add(1);
      this.onError(`decision record${of} lost: ${(error as Error).message}`);
    } finally {
      this.unacknowledged--;
    }
  }
}
