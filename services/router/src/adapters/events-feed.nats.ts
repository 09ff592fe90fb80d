import { STREAMS } from '@meritorder/contracts';
import { followStream, streamState, type Bus, type Following, type StreamMessage } from '@meritorder/messaging';

const EVENTS = STREAMS.events.name;

type Take = (message: StreamMessage) => void | Promise<void>;

/**
 * The events that all that learns in this process hears, from one reading of their stream. Every reader has its own place to begin
 * at: what came before it was heard by an earlier process.
 */
export class EventsFeed {
  private readonly readers: { fromSequence: number; take: Take }[] = [];
  private following: Following | undefined;

  private constructor(
    private readonly bus: Bus,
    /** Of a stream that is made anew it is another. */
    readonly streamId: string,
    /** The last event that was there at the start. */
    readonly newest: number,
    private readonly onError: (message: string) => void,
  ) {}

  static async open(bus: Bus, onError: (message: string) => void): Promise<EventsFeed> {
    const { createdAt, lastSequence } = await streamState(bus, EVENTS);
    return new EventsFeed(bus, createdAt, lastSequence, onError);
  }

  /** Before the start. @param take does not throw or reject; the next event waits for its promise */
  add(fromSequence: number, take: Take): void {
    this.readers.push({ fromSequence, take });
  }

  start(): void {
    const first = Math.max(1, Math.min(...this.readers.map((r) => r.fromSequence)));
    this.following = followStream(
      this.bus,
      EVENTS,
      first,
      (message) => this.hand(message),
      (error) => this.onError(`events are not heard: ${error.message}`),
    );
  }

  stop(): void {
    this.following?.stop();
  }

  private hand(message: StreamMessage): void | Promise<void> {
    const waits = this.readers.flatMap(({ fromSequence, take }) =>
      message.sequence < fromSequence ? [] : (take(message) ?? []),
    );
    if (waits.length > 0) return Promise.all(waits).then(() => {});
  }
}
