import type { EVENTS } from '@meritorder/contracts';
import type { Msg } from '@nats-io/transport-node';
import type { infer as Infer } from 'zod';

/** Events that an org may receive. */
export type OrgEventType = Exclude<
  keyof typeof EVENTS,
  | 'usage.attempt-opened.v1'
  | 'usage.attempt-extended.v1'
  | 'usage.attempt-closed.v1'
  | 'hardware.measured.v1'
  | 'job.accepted.v1'
>;

export interface DeliveredEvent<T extends OrgEventType> {
  type: T;
  /** Identity of the fact: the same when it is delivered again. */
  id: string;
  /** RFC 3339. */
  time: string;
  subject: string;
  /** From 1. */
  delivery: number;
  data: Infer<(typeof EVENTS)[T]>;
}

/** Narrows by `type`. A type that this version does not know arrives all the same. */
export type OrgEvent = { [T in OrgEventType]: DeliveredEvent<T> }[OrgEventType];

/** @throws SyntaxError when the body is not JSON. */
export function eventOf(message: Msg): OrgEvent {
  const header = (name: string): string => message.headers?.get(name) ?? '';
  return {
    type: header('ce-type'),
    id: header('ce-id'),
    time: header('ce-time'),
    subject: header('Meritorder-Subject') || message.subject,
    delivery: Number(header('Meritorder-Delivery')) || 1,
    data: message.json(),
  } as OrgEvent;
}
