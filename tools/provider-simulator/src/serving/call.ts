import type { ServerResponse } from 'node:http';
import type { Outcome } from '../billing/invoice.js';
import type { Meter } from '../engine/meter.js';
import type { Luck, Model } from '../engine/model.js';
import type { Presence } from '../engine/presence.js';
import type { Answer, CallRequest, Wire } from '../wire/wire.js';

/** One physical call, from the moment its model is known. */
export interface Call {
  callId: string;
  clientRequestId: string | null;
  startedAtMs: number;
  request: CallRequest;
  model: Model;
  wire: Wire;
  presence: Presence;
  response: ServerResponse;
}

/** A call whose prompt has been read: what is left is to answer. */
export interface Delivery {
  call: Call;
  answer: Answer;
  meter: Meter;
  luck: Luck;
}

/** How a charged call ended whose client is gone. */
export function outcomeAtDeparture(presence: Presence): Outcome {
  return presence.departure === 'stopping' ? 'cut' : 'cancelled';
}
