import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { UpstreamError } from '../application/ports.js';
import { SENT_FINAL, SENT_RETRYABLE, type HttpAnswer } from './transport.js';

/** How OpenAI's streams end. */
export const DONE = '[DONE]';
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;

/** The events of a stream, in memory bounded by the largest of them. Whoever reads no further says so to the answer. */
export class ServerSentEvents {
  private events: EventSourceMessage[] = [];
  private readonly parser = createParser({ onEvent: (event) => this.events.push(event) });
  private readonly decoder = new TextDecoder();
  private pendingCharacters = 0;
  private isOver = false;

  constructor(private readonly answer: HttpAnswer) {}

  /** Those that came together next; none: that was all. @throws UpstreamError */
  async next(): Promise<EventSourceMessage[]> {
    while (!this.isOver) {
      const bytes = await this.answer.read();
      if (!bytes) return this.last();
      const text = this.decoder.decode(bytes, { stream: true });
      this.parser.feed(text);
      if (this.events.length > 0) {
        const { events } = this;
        this.events = [];
        this.pendingCharacters = 0;
        return events;
      }
      this.pendingCharacters += text.length;
      if (this.pendingCharacters > MAX_EVENT_CHARACTERS)
        throw new UpstreamError('protocol', 'an event without an end', SENT_FINAL);
    }
    return [];
  }

  /** Some servers leave out the empty line after the last event; half an event is none. */
  private last(): EventSourceMessage[] {
    this.isOver = true;
    this.parser.feed('\n\n');
    return this.events.filter(({ data }) => data === DONE || isJson(data));
  }
}

function isJson(data: string): boolean {
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

/** @throws UpstreamError where the data of an event is no JSON object */
export function eventObject(data: string): Record<string, unknown> {
  let event: unknown;
  try {
    event = JSON.parse(data);
  } catch {
    event = undefined;
  }
  if (typeof event === 'object' && event !== null && !Array.isArray(event)) return event as Record<string, unknown>;
  throw new UpstreamError('protocol', 'an event is not a JSON object', SENT_RETRYABLE);
}
