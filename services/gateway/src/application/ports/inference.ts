import type { Kind, Refusal } from '@meritorder/contracts';

export interface InferenceCall {
  org: string;
  /** The API key in clear: the router binds the request by it. */
  key: string;
  kind: Kind;
  /** Its tokens are counted, and that is all. */
  counts: boolean;
  requestId: string;
  /** Of which at most one call is run, whoever asks. */
  idempotencyKey: string | undefined;
  /** What the header `anthropic-beta` says. */
  betas: string | undefined;
  traceparent: string | undefined;
  tracestate: string | undefined;
  /** As the caller sent it. */
  body: Uint8Array;
}

/** What is known when the first chunk of a stream arrives. */
export interface StreamStart {
  backend: string | undefined;
  attemptNumber: string | undefined;
}

/** How an answer ended. */
export type Ending =
  /** The whole answer, or the last message of a stream: JSON with the receipt. */
  { status: 'answered'; streamed: boolean; body: Buffer } | { status: 'failed'; refusal: Refusal };

/** Is told what arrives, in order, at once. */
export interface AnswerReader {
  /** @returns false when the caller is behind: `drained` of the call then says when it is not any more. */
  chunk(json: Uint8Array, start: StreamStart | undefined): boolean;
  /** Once, and the last. */
  ended(ending: Ending): void;
}

export interface OpenCall {
  /** The caller has taken everything. */
  drained(): void;
  /** Stops the call upstream; the reader hears nothing any more. */
  cancel(): void;
}

/** The public surface of inference. */
export interface Inference {
  ask(call: InferenceCall, reader: AnswerReader): OpenCall;
  /** Stops all calls upstream; their readers are told this, and so are those of calls that come later. */
  end(refusal: Refusal): void;
}
