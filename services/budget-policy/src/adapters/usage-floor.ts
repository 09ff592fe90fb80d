import { DURABLES, STREAMS } from '@meritorder/contracts';
import type { Bus } from '@meritorder/messaging';

/** The last sequence number of the stream of attempts. */
export async function lastUsageSequence(bus: Bus): Promise<number> {
  return (await (await bus.manager()).streams.info(STREAMS.usage.name)).state.last_seq;
}

/** Up to where metering has committed everything of that stream. */
export async function meteringFloor(bus: Bus): Promise<number> {
  const info = await (await bus.manager()).consumers.info(STREAMS.usage.name, DURABLES.metering);
  // Nothing waiting and nothing in hand is a floor at the end of the stream.
  return info.num_pending === 0 && info.num_ack_pending === 0 ? info.delivered.stream_seq : info.ack_floor.stream_seq;
}

export async function isUsageBooked(bus: Bus): Promise<boolean> {
  const last = await lastUsageSequence(bus);
  return (await meteringFloor(bus)) >= last;
}
