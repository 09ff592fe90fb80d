import type { Bus } from '@meritorder/messaging';

/** Whether a stream holds a message of a subject. @throws Error where the server does not say */
export async function isInStream(bus: Bus, stream: string, subject: string): Promise<boolean> {
  const manager = await bus.manager();
  const found = await manager.streams.getMessage(stream, { last_by_subj: subject }).catch((error: Error) => {
    if (/no message found/i.test(error.message)) return null;
    throw error;
  });
  return found !== null && found !== undefined;
}
