import type { Refusal, RefusalKind } from '../engine/refusal.js';

const TYPES: Record<RefusalKind, { type: string; code: string | null }> = {
  invalid: { type: 'invalid_request_error', code: null },
  'context-length': { type: 'invalid_request_error', code: 'context_length_exceeded' },
  unauthorized: { type: 'invalid_request_error', code: 'invalid_api_key' },
  'not-found': { type: 'invalid_request_error', code: 'model_not_found' },
  'too-large': { type: 'invalid_request_error', code: 'request_too_large' },
  'rate-limited': { type: 'requests', code: 'rate_limit_exceeded' },
  overloaded: { type: 'server_error', code: 'overloaded' },
  failed: { type: 'server_error', code: null },
};

export function openAiError(refusal: Refusal): unknown {
  return { error: { message: refusal.message, ...TYPES[refusal.kind], param: refusal.field ?? null } };
}

export function openAiRateHeaders(limit: number, remaining: number): Record<string, string> {
  return { 'x-ratelimit-limit-requests': `${limit}`, 'x-ratelimit-remaining-requests': `${remaining}` };
}
