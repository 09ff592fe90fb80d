import { invariant, isSlug } from '@meritorder/kernel';

function token(text: string): string {
  invariant(isSlug(text), `"${text}" cannot be a subject token`);
  return text;
}

export interface PlacedBackend {
  id: string;
  host?: string | undefined;
}

function placed({ id, host }: PlacedBackend): string {
  return host === undefined ? token(id) : `${token(host)}.${token(id)}`;
}

function ofHost(org: string, host: string | undefined): string {
  return host === undefined ? token(org) : `${token(org)}.${token(host)}`;
}

/** Of `usage.attempt-closed`: the host whose worker published it; undefined: the centre. */
export function hostOfUsage(subject: string): string | undefined {
  return subject.split('.')[4];
}

/** Every subject of the system. Tokens are slugs; a bug that would widen a subject throws. */
export const subjects = {
  inferenceRequest: (org: string) => `inference.request.v1.${token(org)}`,
  inferenceJob: (org: string) => `inference.job.v1.${token(org)}`,
  inferenceCancel: (org: string, request: string) => `inference.cancel.v1.${token(org)}.${token(request)}`,
  /** Where a reader acknowledges chunks of a stream. */
  inferenceAck: (org: string, request: string) => `inference.ack.v1.${token(org)}.${token(request)}`,
  inferenceResult: (org: string, request: string) => `inference.result.v1.${token(org)}.${token(request)}`,
  outcomeReported: (org: string) => `outcome.reported.v1.${token(org)}`,
  outcomeRecorded: (org: string) => `outcome.recorded.v1.${token(org)}`,
  qualityModelShifted: (org: string) => `quality.model-shifted.v1.${token(org)}`,
  routingDecisionMade: (org: string) => `routing.decision-made.v1.${token(org)}`,
  usageAttemptOpened: (org: string) => `usage.attempt-opened.v1.${token(org)}`,
  usageAttemptExtended: (org: string) => `usage.attempt-extended.v1.${token(org)}`,
  /** @param host whose worker it is, if any: NATS lets it publish there alone. */
  usageAttemptClosed: (org: string, host?: string) => `usage.attempt-closed.v1.${ofHost(org, host)}`,
  meteringUsageRated: (org: string) => `metering.usage-rated.v1.${token(org)}`,
  budgetThresholdCrossed: (org: string, budget: string) => `budget.threshold-crossed.v1.${token(org)}.${token(budget)}`,
  budgetExhausted: (org: string, budget: string) => `budget.exhausted.v1.${token(org)}.${token(budget)}`,
  budgetRecovered: (org: string, budget: string) => `budget.recovered.v1.${token(org)}.${token(budget)}`,
  budgetForecastChanged: (org: string, budget: string) => `budget.forecast-changed.v1.${token(org)}.${token(budget)}`,
  policyStageChanged: (org: string, budget: string) => `policy.stage-changed.v1.${token(org)}.${token(budget)}`,
  policyShadowPriceChanged: (org: string, budget: string) =>
    `policy.shadow-price-changed.v1.${token(org)}.${token(budget)}`,
  priceVersionPublished: () => 'price.version-published.v1',
  priceVersionHeld: () => 'price.version-held.v1',
  /** Events of one subscriber of an org, delivered until they are acknowledged. */
  delivery: (org: string, subscriber: string) => `deliver.v1.${token(org)}.${token(subscriber)}`,
  deliveryAck: (org: string, subscriber: string, id: string) =>
    `deliver-ack.v1.${token(org)}.${token(subscriber)}.${token(id)}`,
  /** Internal. */
  /** Of own hardware with its host, so that each host can be allowed its own alone. */
  work: (backend: PlacedBackend) => `work.v1.${placed(backend)}`,
  /** With the request, so that whoever hears a cancel can ask the stream whether its job waits. */
  jobAccepted: (org: string, request: string) => `job.accepted.v1.${token(org)}.${token(request)}`,
  batchCollected: (backend: string) => `batch.collected.v1.${token(backend)}`,
  workerHeartbeat: (backend: PlacedBackend) => `worker.heartbeat.v1.${placed(backend)}`,
  routerFleet: () => 'router.fleet.v1',
  fleetJoin: (host: string) => `fleet.join.v1.${token(host)}`,
  hardwareMeasured: (host: string) => `hardware.measured.v1.${token(host)}`,
  promptSent: (backend: string) => `prompt.sent.v1.${token(backend)}`,
  /** To the workers of a backend: the one that has the attempt may call. */
  attemptGo: (backend: PlacedBackend, attempt: string) => `attempt.go.v1.${placed(backend)}.${token(attempt)}`,
  /** As a worker of the backend hears them. */
  attemptGoes: (backend: PlacedBackend) => `attempt.go.v1.${placed(backend)}.*`,
  attemptStop: (attempt: string) => `attempt.stop.v1.${token(attempt)}`,
  attemptTurn: (attempt: string) => `attempt.turn.v1.${token(attempt)}`,
  attemptTurned: (question: string) => `attempt.turned.v1.${token(question)}`,
  meteringReconcile: () => 'metering.reconcile.v1',
  meteringPrices: () => 'metering.prices.v1',
  meteringHardware: () => 'metering.hardware.v1',
  meteringDecisions: () => 'metering.decisions.v1',
  meteringDecisionExport: () => 'metering.decision-export.v1',
  meteringMargin: () => 'metering.margin.v1',
  budgetPolicyBudgets: () => 'budget-policy.budgets.v1',
  budgetPolicyPacing: () => 'budget-policy.pacing.v1',
  accessKeys: () => 'access.keys.v1',
  inferenceEstimate: (org: string) => `inference.estimate.v1.${token(org)}`,
  deadLetter: (stream: string) => `dead-letter.v1.${token(stream)}`,
} as const;

/** The body of a stop that ends an attempt because the other one of its request has the caller, and its code in the books. */
export const HEDGE_LOST = 'hedge-lost' as const;

/** The body that asks for an event to be delivered again, on its reply subject; any other, an empty one too, acknowledges. */
export const DELIVERY_REFUSED = '-NAK';

/** The only prefix under which a reply to this org is ever written. */
export function orgInboxPrefix(org: string): string {
  return `_INBOX_${token(org)}`;
}

/**
 * Whether a reply subject may be honoured for this org: a literal subject under its own inbox prefix.
 * NATS does not check the reply a publisher names, so every service that answers asks this first.
 */
export function isOrgReply(org: string, reply: string | undefined): reply is string {
  if (!reply || reply.length > 256) return false;
  const prefix = `${orgInboxPrefix(org)}.`;
  return reply.startsWith(prefix) && reply.length > prefix.length && !/[*>\s]|\.\.|\.$/.test(reply);
}
