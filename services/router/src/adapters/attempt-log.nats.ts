import { subjects, type UsageAttemptClosedV1, type UsageAttemptOpenedV1 } from '@meritorder/contracts';
import { newId } from '@meritorder/kernel';
import { publishUntilKept, type Bus } from '@meritorder/messaging';
import type { Context } from '@opentelemetry/api';
import type { AttemptLog } from '../application/ports.js';

/** Shorter than a worker waits for its `go`. */
const OPENED_TIMEOUT_MS = 3_000;
/** A request that goes on elsewhere waits for this no longer. */
const CLOSED_WITHIN_MS = 1_000;

/** What the router says of attempts, in their stream. */
export class NatsAttemptLog implements AttemptLog {
  readonly recorder = newId();

  constructor(
    private readonly bus: Bus,
    private readonly onError: (error: Error) => void,
  ) {}

  async opened(event: UsageAttemptOpenedV1, context: Context): Promise<void> {
    await this.bus.publishEvent(
      {
        type: 'usage.attempt-opened.v1',
        subject: subjects.usageAttemptOpened(event.attribution.org),
        id: this.idOf(event, 'opened'),
        time: event.openedAt,
        data: event,
        context,
      },
      { timeoutMs: OPENED_TIMEOUT_MS },
    );
  }

  closed(event: UsageAttemptClosedV1, context: Context): Promise<boolean> {
    const kept = publishUntilKept(
      this.bus,
      {
        type: 'usage.attempt-closed.v1',
        subject: subjects.usageAttemptClosed(event.attribution.org),
        id: this.idOf(event, 'closed'),
        time: event.closedAt,
        data: event,
        context,
      },
      this.onError,
    ).then(() => true);
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), CLOSED_WITHIN_MS).unref());
    return Promise.race([kept, late]);
  }

  /** Nobody else can know the last part: the stream would take a record under this id for this one, and drop this one as repeated. */
  private idOf({ attemptId }: { attemptId: string }, fact: string): string {
    return `${attemptId}/${fact}/${this.recorder}`;
  }
}
