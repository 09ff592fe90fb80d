import { OPERATOR_ORG, subjects, type RoutingDecisionMadeV1 } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import { meter } from '@meritorder/telemetry';
import type { Context } from '@opentelemetry/api';
import { orgsCopy } from '../application/decision-record.js';
import type { DecisionLog } from '../application/ports.js';

const MAX_UNACKNOWLEDGED = 10_000;
/**
 * A record is made and sent so long after the decision. Sent at once it kept router, server and disk busy while the worker's own
 * record and the call to the backend waited for them: a third of all that is added to a first token.
 */
const AFTER_MS = 25;

/**
 * Decision records, of two copies where budgets that span orgs had a say: the whole for the operator and the services, the other for the
 * org. A caller never waits for one. One that cannot be kept is counted and logged, never silent.
 */
export class NatsDecisionLog implements DecisionLog {
  private unacknowledged = 0;
  /** Those that are not sent yet. */
  private readonly waiting = new Map<NodeJS.Timeout, () => Promise<void>>();
  private readonly sending = new Set<Promise<void>>();
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
    const timer = setTimeout(() => this.send(timer), AFTER_MS);
    this.waiting.set(timer, () => this.publish(make, context));
  }

  /** Sends what waits, and resolves when all is kept or lost. */
  async close(): Promise<void> {
    for (const timer of this.waiting.keys()) this.send(timer);
    await Promise.all(this.sending);
  }

  private send(timer: NodeJS.Timeout): void {
    const publish = this.waiting.get(timer);
    if (!publish) return;
    clearTimeout(timer);
    this.waiting.delete(timer);
    const sent = publish().finally(() => this.sending.delete(sent));
    this.sending.add(sent);
  }

  private async publish(make: () => RoutingDecisionMadeV1, context: Context): Promise<void> {
    let of = '';
    try {
      const decision = make();
      const { org } = decision.attribution;
      of = ` of ${decision.requestId}`;
      const id = `${org}/${decision.requestId}/${decision.attemptId ?? `refused-${decision.attemptNumber}`}`;
      if (decision.sharedBudgets === undefined) return await this.publishTo(org, id, decision, context);
      await Promise.all([
        this.publishTo(OPERATOR_ORG, `${OPERATOR_ORG}/${id}`, decision, context),
        this.publishTo(org, id, orgsCopy(decision), context),
      ]);
    } catch (error) {
      this.lost.add(1);
      this.onError(`decision record${of} lost: ${(error as Error).message}`);
    } finally {
      this.unacknowledged--;
    }
  }

  private async publishTo(org: string, id: string, data: RoutingDecisionMadeV1, context: Context): Promise<void> {
    await this.bus.publishEvent({
      type: 'routing.decision-made.v1',
      subject: subjects.routingDecisionMade(org),
      id,
      time: data.decidedAt,
      data,
      context,
    });
  }
}
