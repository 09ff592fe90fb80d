import type { z } from 'zod';
import { UpstreamError } from '../../application/ports.js';
import { refusalOf } from '../refusal.js';
import { SENT_FINAL, SENT_RETRYABLE, transportError } from '../transport.js';

const LINE_END = 0x0a;
const TIMEOUT_MS = 120_000;
/** Results of the largest batch that is made here have less. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** One call to a batch API: no retry, no redirect, bounded in time and size. @throws UpstreamError */
export async function askText(url: string, init: RequestInit): Promise<string> {
  return (await ask(url, init)).text;
}

/** One header of what is answered. @throws UpstreamError also where it is not there */
export async function askHeader(url: string, init: RequestInit, name: string): Promise<string> {
  const value = (await ask(url, init)).headers.get(name);
  if (value !== null) return value;
  throw new UpstreamError('protocol', `an answer without ${name}`, SENT_RETRYABLE);
}

/** The same; it is read as far as its first line is, which may be followed by some of the next. @throws UpstreamError */
export async function askFirstLine(url: string, init: RequestInit): Promise<string> {
  const { text } = await ask(url, init, (part) => part.includes(LINE_END));
  return text.split('\n', 1)[0]!;
}

/** What comes before a batch is made, such as its file: alone it is none, so what it throws says that nothing was done. */
export async function beforehand<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    throw new UpstreamError(error.code, error.message, { ...error.details, refusedUpstream: true });
  }
}

async function ask(
  url: string,
  init: RequestInit,
  isEnough: (part: Uint8Array) => boolean = () => false,
): Promise<{ text: string; headers: Headers }> {
  let answering = false;
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    answering = true;
    const text = await boundedText(response, isEnough);
    if (response.ok) return { text, headers: response.headers };
    const refusal = refusalOf(
      { status: response.status, headers: Object.fromEntries(response.headers), body: text },
      Date.now(),
    );
    throw new UpstreamError(refusal.code, refusal.message, {
      // Nobody else is asked for a batch: what it cannot be told once it cannot be told again.
      retryable: refusal.retryable && (refusal.code !== 'caller-fault' || response.status === 403),
      sent: true,
      refusedUpstream: refusal.didNothing,
      status: response.status,
      retryAfterSeconds: refusal.retryAfterSeconds,
    });
  } catch (error) {
    // `fetch` has what happened as the cause of what it throws.
    throw transportError((error as Error).cause ?? error, answering);
  }
}

/** @throws UpstreamError also where it is not a JSON object */
export async function askJson(url: string, init: RequestInit): Promise<Record<string, unknown>> {
  const text = await askText(url, init);
  try {
    return jsonObject(text);
  } catch {
    throw new UpstreamError('protocol', 'the answer is not a JSON object', SENT_RETRYABLE);
  }
}

/** Of each line that is not empty. @throws UpstreamError */
export function jsonLines(text: string): Record<string, unknown>[] {
  try {
    return text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [jsonObject(line)]));
  } catch {
    throw new UpstreamError('protocol', 'a line of the results is not a JSON object', SENT_RETRYABLE);
  }
}

/** @throws UpstreamError naming the field: an answer that cannot be read says nothing of what was run and charged */
export function checked<T extends z.ZodType>(schema: T, answer: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new UpstreamError('protocol', `${what} cannot be read: ${path.join('.')}: ${message}`, SENT_RETRYABLE);
}

function jsonObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
  return value as Record<string, unknown>;
}

async function boundedText(response: Response, isEnough: (part: Uint8Array) => boolean): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > MAX_ANSWER_BYTES)
      throw new UpstreamError('protocol', `the answer has more than ${MAX_ANSWER_BYTES} bytes`, SENT_FINAL);
    parts.push(part);
    if (isEnough(part)) break;
  }
  return Buffer.concat(parts).toString('utf8');
}
