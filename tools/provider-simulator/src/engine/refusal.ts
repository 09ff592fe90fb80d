/** A call that is refused before anything is processed, and therefore not on the invoice. */
export type RefusalKind =
  'invalid' | 'context-length' | 'unauthorized' | 'not-found' | 'too-large' | 'rate-limited' | 'overloaded' | 'failed';

export class Refusal extends Error {
  readonly status: number;
  readonly kind: RefusalKind;
  /** The field that is wrong, where one is. */
  readonly field: string | undefined;
  /** Real time after which the same call may pass. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    kind: RefusalKind,
    message: string,
    more: { field?: string | undefined; retryAfterMs?: number | undefined } = {},
  ) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.field = more.field;
    this.retryAfterMs = more.retryAfterMs;
  }
}

export function invalid(message: string, field?: string): Refusal {
  return new Refusal(400, 'invalid', message, { field });
}
