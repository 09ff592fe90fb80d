import type { ConsumerMessages } from '@nats-io/jetstream';
import type { Bus } from './bus.js';

/** Where a stream is: which one it is, since one that was made anew counts from 1 again, and its newest message. */
export interface StreamState {
  createdAt: string;
  /** 0: nothing was ever in it. */
  lastSequence: number;
}

export async function streamState(bus: Bus, stream: string): Promise<StreamState> {
  const { created, state } = await (await bus.manager()).streams.info(stream);
  return { createdAt: created, lastSequence: state.last_seq };
}

export interface StreamMessage {
  subject: string;
  data: Uint8Array;
  sequence: number;
}

export interface Following {
  stop(): void;
}

/**
 * Hands over each message of a stream from `fromSequence` on, and every later one: in order, each once, through reconnects. What
 * the stream no longer has is passed over. All subjects come: to find the next message of a wildcard, a server of 2.9 looks through
 * all subjects there are, and there is one for each org.
 * @param onMessage does not throw or reject; the next message waits for its promise
 */
export function followStream(
  bus: Bus,
  stream: string,
  fromSequence: number,
  onMessage: (message: StreamMessage) => void | Promise<void>,
  onError: (error: Error) => void,
): Following {
  const stopped = new AbortController();
  let messages: ConsumerMessages | undefined;
  let next = fromSequence;
  const follow = async (): Promise<void> => {
    let backoffMs = 100;
    while (!stopped.signal.aborted) {
      try {
        const consumer = await bus.jetstream.consumers.get(stream, { opt_start_seq: next });
        messages = await consumer.consume({ max_messages: 500, idle_heartbeat: 5_000 });
        if (stopped.signal.aborted) messages.stop();
        for await (const message of messages) {
          backoffMs = 100;
          next = message.seq + 1;
          const later = onMessage({ subject: message.subject, data: message.data, sequence: message.seq });
          if (later) await later;
          if (stopped.signal.aborted) return;
        }
      } catch (error) {
        if (stopped.signal.aborted || bus.nats.isClosed()) return;
        onError(error as Error);
      }
      if (bus.nats.isClosed()) return;
      if (!stopped.signal.aborted) await new Promise((resolve) => setTimeout(resolve, backoffMs));
      backoffMs = Math.min(5_000, backoffMs * 2);
    }
  };
  const watchConnection = async (): Promise<void> => {
    // What was asked for before is not heard of again: it is asked for anew, from where this is.
    for await (const { type } of bus.nats.status()) if (type === 'reconnect') messages?.stop();
  };
  void follow();
  void watchConnection();
  return {
    stop() {
      stopped.abort();
      messages?.stop();
    },
  };
}
