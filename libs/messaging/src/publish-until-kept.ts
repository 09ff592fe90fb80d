import type { EventType } from '@meritorder/contracts';
import type { Bus } from './bus.js';
import type { OutgoingEvent } from './cloud-events.js';

const RETRY_MS = [100, 200, 500, 1_000, 2_000, 5_000];

/** Publishes a fact again and again until its stream has it. Never rejects; gives up only with the connection. */
export async function publishUntilKept<T extends EventType>(
  bus: Bus,
  event: OutgoingEvent<T>,
  onError: (error: Error) => void,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await bus.publishEvent(event);
      return;
    } catch (error) {
      onError(error as Error);
      if (bus.nats.isClosed()) return;
      await new Promise((r) => setTimeout(r, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
    }
  }
}
