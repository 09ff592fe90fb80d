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
  /** Of a request: an answer that is larger than a message may come in parts, of at most so many bytes in all. */
  maxAnswerBytes: 'Meritorder-Max-Answer-Bytes',
  /** Of a request of messages: Anthropic's header of that name, as its clients send it. */
  anthropicBeta: 'Anthropic-Beta',
  /** Of an answer in parts: the how many-th of its bytes these are, from 0. The one with a status is the last. */
  part: 'Meritorder-Part',
  status: 'Meritorder-Status',
  serviceError: 'Nats-Service-Error',
  serviceErrorCode: 'Nats-Service-Error-Code',
  retryAfter: 'Retry-After',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  messageId: 'Nats-Msg-Id',
} as const;

/** What a caller may take in parts; the most that a backend may answer at once. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
