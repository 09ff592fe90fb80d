/** NATS header names. CloudEvents headers are written in lower case and read in any case. */
export const HEADERS = {
  kind: 'Meritorder-Kind',
  key: 'Meritorder-Key',
  request: 'Meritorder-Request',
  /** The same as `meritorder.idempotency_key` of the body. */
  idempotencyKey: 'Meritorder-Idempotency-Key',
  attempt: 'Meritorder-Attempt',
  /** Of the first chunk of a stream: who answers, and the how many-th attempt it is. */
  backend: 'Meritorder-Backend',
  attemptNumber: 'Meritorder-Attempt-Number',
  seq: 'Meritorder-Seq',
  status: 'Meritorder-Status',
  serviceError: 'Nats-Service-Error',
  serviceErrorCode: 'Nats-Service-Error-Code',
  retryAfter: 'Retry-After',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  messageId: 'Nats-Msg-Id',
} as const;
