import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { UpstreamError } from '../application/ports.js';
import { SENT_FINAL, SENT_RETRYABLE, type HttpAnswer } from './transport.js';

/** How OpenAI's streams end. */
export const DONE = '[DONE]';
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;

/** The events of a stream, those of one read together. Bounded by its largest event. @throws UpstreamError */
export async function* serverSentEvents(answer: HttpAnswer): AsyncGenerator<EventSourceMessage[], void> {
  let events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  const decoder = new TextDecoder();
  let pendingCharacters = 0;
  for await (const bytes of answer.bytes()) {
    const text = decoder.decode(bytes, { stream: true });
    parser.feed(text);
    pendingCharacters = events.length === 0 ? pendingCharacters + text.length : 0;
    if (pendingCharacters > MAX_EVENT_CHARACTERS)
      throw new UpstreamError('protocol', 'an event without an end', SENT_FINAL);
    if (events.length === 0) continue;
    yield events;
    events = [];
  }
  // Some servers leave out the empty line after the last event; half an event is none.
  parser.feed('\n\n');
  const whole = events.filter(({ data }) => data === DONE || isJson(data));
  if (whole.length > 0) yield whole;
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
