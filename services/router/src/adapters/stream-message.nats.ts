import type { StoredMsg } from '@nats-io/jetstream';
import type { Bus } from '@meritorder/messaging';

/** The last message of a subject that a stream holds. @throws Error where the server does not say */
export async function lastInStream(bus: Bus, stream: string, subject: string): Promise<StoredMsg | undefined> {
  const manager = await bus.manager();
  const found = await manager.streams.getMessage(stream, { last_by_subj: subject }).catch((error: Error) => {
    if (/no message found/i.test(error.message)) return null;
    throw error;
  });
  return found ?? undefined;
}

/** Whether a stream holds a message of a subject. @throws Error where the server does not say */
export async function isInStream(bus: Bus, stream: string, subject: string): Promise<boolean> {
  return (await lastInStream(bus, stream, subject)) !== undefined;
}
