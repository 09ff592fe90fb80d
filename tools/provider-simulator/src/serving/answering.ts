import type { ServerResponse } from 'node:http';
import type { Call } from './call.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** Headers that tell a client which call this is and how much of its rate is left. */
export function callHeaders({ wire, callId, model }: Pick<Call, 'wire' | 'callId' | 'model'>): Record<string, string> {
  const headers = { [wire.requestIdHeader]: callId };
  const { rateLimit } = model.behaviour;
  return rateLimit === 0 ? headers : { ...headers, ...wire.rateHeaders(rateLimit, model.rateRemaining) };
}

/** Sends a whole body, JSON unless the headers say otherwise. Nothing happens when the client is gone. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    'content-type': JSON_TYPE,
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  sendText(response, status, JSON.stringify(value));
}
