import { subjects, type UsageAttemptExtendedV1 } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { ExtensionLog } from '../application/ports.js';

/** A worker waits for this no longer: it asks again, or ends the stream. */
const RECORD_TIMEOUT_MS = 1_000;

/** Extensions in the stream of attempts; one that grew to the same total is the same fact. */
export class NatsExtensionLog implements ExtensionLog {
  constructor(private readonly bus: Bus) {}

  async record(event: UsageAttemptExtendedV1, context: Context): Promise<void> {
    await this.bus.publishEvent(
      {
        type: 'usage.attempt-extended.v1',
        subject: subjects.usageAttemptExtended(event.attribution.org),
        id: `${event.attemptId}/extended/${event.bound.cashNanos}/${event.bound.fullNanos}`,
        time: event.extendedAt,
        data: event,
        context,
      },
      { timeoutMs: RECORD_TIMEOUT_MS },
    );
  }
}
