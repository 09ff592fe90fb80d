import { UpstreamError } from '../application/ports.js';
import { refusalInAnswer } from './refusal.js';

/** @param error as an answer of status 200 or an event of a stream has it */
export function errorInAnswer(error: unknown): UpstreamError {
  const { code, message, retryable, retryAfterSeconds } = refusalInAnswer(error, Date.now());
  return new UpstreamError(code, message, { retryable, sent: true, refusedUpstream: false, retryAfterSeconds });
}
