import { betasIn, MOST_BETAS, HEADERS, isSlugText, Kind, MAX_ANSWER_BYTES, type Refusal } from '@meritorder/contracts';
import { newId, parseJson } from '@meritorder/kernel';
import { readRequest, type RequestReading } from './read-request.js';

export interface IncomingMessage {
  data: Uint8Array;
  /** Header by name; '' when absent. */
  header(name: 'kind' | 'key' | 'request' | 'idempotencyKey' | 'maxAnswerBytes' | 'anthropicBeta'): string;
}

export type ParsedRequest = RequestReading & { requestId: string; maxAnswerBytes?: number };

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A tool's schema has a few dozen levels; whatever walks a body by recursion must come to an end. */
const MAX_DEPTH = 200;

/** The request id to answer with, even when nothing else of the message is usable. */
export function requestIdOf(message: IncomingMessage): string {
  const named = message.header('request');
  return isSlugText(named) ? named : newId();
}

/** Validates a message of the public surface by the schema of its kind. */
export function parseRequest(
  message: IncomingMessage,
  requestId: string,
  maxBodyBytes: number,
): ParsedRequest | Refusal {
  const named = message.header('request');
  if (named && named !== requestId) {
    return { code: 'header_invalid', message: 'Meritorder-Request must be a slug: 1 to 64 of a-z, 0-9 and "-".' };
  }
  const kind = Kind.safeParse(message.header('kind') || 'chat');
  if (!kind.success) {
    return {
      code: 'header_invalid',
      message: `Meritorder-Kind must be chat, embeddings, messages or responses, not "${message.header('kind').slice(0, 64)}".`,
    };
  }
  if (message.data.length > maxBodyBytes) {
    return {
      code: 'body_too_large',
      message: `The body has ${message.data.length} bytes; the limit is ${maxBodyBytes}.`,
    };
  }
  let value: unknown;
  try {
    value = parseJson(utf8.decode(message.data));
  } catch (error) {
    return { code: 'body_not_json', message: `The body is not JSON: ${(error as Error).message.slice(0, 200)}` };
  }
  if (isDeeperThan(value, MAX_DEPTH))
    return { code: 'body_invalid', message: `body: nested more than ${MAX_DEPTH} levels deep` };
  const reading = readRequest(kind.data, withBetas(kind.data, value, message.header('anthropicBeta')));
  if ('code' in reading) return reading;
  const parts = partsOf(message.header('maxAnswerBytes'));
  if ('code' in parts) return parts;
  return withIdempotencyKey({ requestId, ...reading, ...parts }, message.header('idempotencyKey'));
}

/** Of messages, as if the body had said them too. Headers are no reason to refuse: clients send names that come and go. */
function withBetas(kind: Kind, value: unknown, header: string): unknown {
  const named = kind === 'messages' ? betasIn(header) : [];
  if (named.length === 0 || typeof value !== 'object' || value === null) return value;
  const { betas } = value as { betas?: unknown };
  if (betas === undefined || betas === null) return { ...value, betas: named };
  // What is no list is told by the schema.
  if (!Array.isArray(betas)) return value;
  const all = [...new Set([...(betas as unknown[]), ...named])];
  return { ...value, betas: all.slice(0, Math.max(betas.length, MOST_BETAS)) };
}

/** A request whose tokens are counted has no answer: `max_tokens` may be absent, and counts as one. */
export function countRequestOf(data: Uint8Array): Uint8Array {
  try {
    const value: unknown = parseJson(utf8.decode(data));
    if (typeof value !== 'object' || value === null || 'max_tokens' in value) return data;
    return Buffer.from(JSON.stringify({ ...value, max_tokens: 1 }));
  } catch {
    // Not JSON, or nested too deep to write: whoever parses it says so.
    return data;
  }
}

/** Whether the answer may come in parts. A caller that takes more than the most gets the most. */
function partsOf(header: string): { maxAnswerBytes?: number } | Refusal {
  if (header === '') return {};
  if (!/^[1-9]\d{0,11}$/.test(header))
    return { code: 'header_invalid', message: `${HEADERS.maxAnswerBytes} must be a number of bytes.` };
  return { maxAnswerBytes: Math.min(Number(header), MAX_ANSWER_BYTES) };
}

const MAX_KEY_LENGTH = 255;

/** As if the body had said it; it must not say another. */
function withIdempotencyKey(request: ParsedRequest, key: string): ParsedRequest | Refusal {
  if (key === '') return request;
  const { body } = request;
  const named = body.meritorder?.idempotency_key;
  if (key.length > MAX_KEY_LENGTH)
    return { code: 'header_invalid', message: `${HEADERS.idempotencyKey} has more than ${MAX_KEY_LENGTH} characters.` };
  if (named !== undefined && named !== key)
    return {
      code: 'header_invalid',
      message: `${HEADERS.idempotencyKey} is another key than meritorder.idempotency_key of the body.`,
    };
  return { ...request, body: { ...body, meritorder: { ...body.meritorder, idempotency_key: key } } };
}

/** Level by level, since a recursion could overflow the stack itself. */
function isDeeperThan(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((v): unknown[] => (v !== null && typeof v === 'object' ? Object.values(v) : []));
  }
  return false;
}
