import type { ErrorCode } from '@meritorder/contracts';
import type { Msg } from '@nats-io/transport-node';

/**
 * What only the client can notice. `no_router`: nobody listens on the subject; `no_answer`: nothing came in time;
 * `chunk_lost`: a part of the stream is missing; `closed`: the connection was closed; `not_permitted`: the NATS user is not one
 * of this org.
 */
export type ClientErrorCode = 'no_router' | 'no_answer' | 'chunk_lost' | 'closed' | 'not_permitted';

/** A refusal, or an answer that broke off. `code` is stable: docs/reference/errors.md. */
export class MeritorderError extends Error {
  override readonly name = 'MeritorderError';
  constructor(
    readonly code: ErrorCode | ClientErrorCode,
    message: string,
    /** HTTP-like; 0: noticed by the client. */
    readonly status: number,
    readonly requestId: string | undefined,
    readonly retryAfterSeconds?: number,
    /** The field of the request that is wrong. */
    readonly param?: string,
  ) {
    super(message);
  }
}

/** The error that a message carries; undefined: it carries none. */
export function errorOf(message: Msg, requestId?: string): MeritorderError | undefined {
  if (message.headers?.code === 503 && message.data.length === 0)
    return new MeritorderError('no_router', 'No router listens: is Meritorder running?', 503, requestId);
  const code = message.headers?.get('Nats-Service-Error');
  if (!code) return undefined;
  const status = Number(message.headers?.get('Nats-Service-Error-Code')) || 500;
  const error = errorOfBody(message);
  return new MeritorderError(
    code as ErrorCode,
    error?.message ?? code,
    status,
    message.headers?.get('Meritorder-Request') || requestId,
    error?.retry_after_seconds,
    error?.param ?? undefined,
  );
}

function errorOfBody(
  message: Msg,
): { message?: string; param?: string | null; retry_after_seconds?: number } | undefined {
  try {
    return message.json<{ error?: object }>().error;
  } catch {
    return undefined;
  }
}
