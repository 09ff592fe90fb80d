import { parseJson } from '@meritorder/kernel';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import type { Context } from '@opentelemetry/api';
import { EVENTS, HEADERS, type EventType } from '@meritorder/contracts';
import type { z } from 'zod';
import { injectTrace } from './trace-context.js';

export type EventBody<T extends EventType> = z.infer<(typeof EVENTS)[T]>;

export interface OutgoingEvent<T extends EventType> {
  type: T;
  subject: string;
  /** `ce-id` and `Nats-Msg-Id`: the identity of the fact, not of the publication. */
  id: string;
  data: EventBody<T>;
  /** When it happened, RFC 3339. */
  time: string;
  context?: Context;
}

/** A message that can never be processed: it goes to the dead letters with this reason. */
export class PoisonMessage extends Error {
  override readonly name = 'PoisonMessage';
}

/** Encodes one fact as a CloudEvents 1.0 message in binary mode. Strict: what is not in the schema is refused. */
export function encodeEvent<T extends EventType>(
  event: OutgoingEvent<T>,
  source: string,
): { headers: MsgHdrs; payload: string } {
  const schema = EVENTS[event.type] as z.ZodType;
  const parsed = schema.safeParse(event.data);
  if (!parsed.success) throw new Error(`refusing to publish an invalid ${event.type}: ${issueText(parsed.error)}`);
  const h = injectTrace(headers(), event.context);
  h.set('ce-specversion', '1.0');
  h.set('ce-id', event.id);
  h.set('ce-type', event.type);
  h.set('ce-source', source);
  h.set('ce-time', event.time);
  h.set('ce-subject', event.subject);
  h.set('content-type', 'application/json');
  h.set(HEADERS.messageId, event.id);
  return { headers: h, payload: JSON.stringify(parsed.data) };
}

export interface ReceivedEvent<T extends EventType> {
  type: T;
  id: string;
  data: EventBody<T>;
}

/** Decodes a CloudEvents message; unknown fields are tolerated. @throws PoisonMessage with the reason. */
export function decodeEvent<T extends EventType>(
  allowed: readonly T[],
  message: { subject: string; headers?: MsgHdrs | undefined; data: Uint8Array },
): ReceivedEvent<T> {
  const type = header(message.headers, 'ce-type');
  const id = header(message.headers, 'ce-id');
  if (!type || !id) throw new PoisonMessage('not a CloudEvents message: ce-type or ce-id is missing');
  if (!(allowed as readonly string[]).includes(type)) throw new PoisonMessage(`unexpected ce-type "${type}"`);
  if (!message.subject.startsWith(`${type}.`) && message.subject !== type) {
    throw new PoisonMessage(`ce-type "${type}" does not belong on ${message.subject}`);
  }
  return {
    type: type as T,
    id,
    data: decodeJson(EVENTS[type as T] as unknown as z.ZodType<EventBody<T>>, message.data),
  };
}

/** Parses JSON bytes by a schema. @throws PoisonMessage naming the first wrong fields. */
export function decodeJson<S>(schema: z.ZodType<S>, data: Uint8Array): S {
  let value: unknown;
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch (error) {
    throw new PoisonMessage(`not JSON: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new PoisonMessage(issueText(parsed.error));
  return parsed.data;
}

export function issueText(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((i) => `${i.path.join('.') || 'body'}: ${i.message}`)
    .join('; ');
}

function header(h: MsgHdrs | undefined, name: string): string | undefined {
  if (!h) return undefined;
  const exact = h.get(name);
  if (exact) return exact;
  const key = h.keys().find((k) => k.toLowerCase() === name);
  return key === undefined ? undefined : h.get(key);
}
