import type { BackendConfig, ErrorCode, RouterReply, UsageAttemptClosedV1, WorkEvent } from '@meritorder/contracts';
import type { Dialect, UsageReader } from '@meritorder/usage-core';

export type FailureCode = Extract<WorkEvent, { type: 'failed' }>['code'];

/** Why a call to a backend ended without its answer, and what that means for money. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  constructor(
    readonly code: FailureCode,
    message: string,
    readonly details: {
      retryable: boolean;
      /** Whether anything may have reached the backend. */
      sent: boolean;
      /** The backend answered that it did nothing. */
      refusedUpstream: boolean;
      status?: number | undefined;
      retryAfterSeconds?: number | undefined;
      /** The same backend may be asked again at once: another of its credentials is free, or another of its workers. */
      again?: boolean | undefined;
    },
  ) {
    super(message);
  }
}

export interface UpstreamRequest {
  backend: BackendConfig;
  attemptId: string;
  body: Record<string, unknown>;
  stream: boolean;
  includeUsage: boolean;
  deadlineMs: number;
  /** Of a stream: how long it may be silent before it says something. */
  firstTokenTimeoutMs: number;
  signal: AbortSignal;
  /** Is fed whatever the backend says. */
  reader: UsageReader;
  headers: Record<string, string>;
}

/** With what, and where, a backend is called. */
export interface Credential {
  readonly id: string;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly region?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly accessKey?: { id: string; secret: string; sessionToken?: string | undefined } | undefined;
}

/** A physical call as a wire writes it. */
export interface WireCall {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** What a provider said to one, whichever way it came. */
export interface WireReply {
  status: number;
  body: string;
}

export interface ProviderRequest extends UpstreamRequest {
  credential: Credential;
  /** Takes the call in place of the network, where it goes another way. */
  carry?: (call: WireCall) => Promise<WireReply>;
}

/** A backend's wire. No retries of its own: every physical call is an attempt. */
export interface Upstream<Request extends UpstreamRequest = UpstreamRequest> {
  /** How it states usage. */
  readonly dialect: Dialect;
  /** Whether it passes on the marks of a prompt cache that a chat completion may have. */
  readonly marks?: boolean;
  /** The whole answer. @throws UpstreamError */
  complete(request: Request): Promise<Record<string, unknown>>;
  /** Chunks as JSON text, ready for the caller. Reading stops while the consumer does not ask. @throws UpstreamError */
  stream(request: Request): AsyncIterable<string>;
}

/** One that is told which credential to use. */
export interface ProviderUpstream extends Upstream<ProviderRequest> {
  close(): Promise<void>;
}

/** The durable record of what attempts came to. */
export interface UsageLog {
  /** Repeats until the stream has it. Never rejects. */
  closed(event: UsageAttemptClosedV1): Promise<void>;
}

export interface RouterLink {
  /** Whether the attempt may be sent: `go`, `stop`, or undefined when the router did not say in time. */
  mayGo(attemptId: string): Promise<RouterReply | undefined>;
  send(event: WorkEvent): void;
  /** Undefined when the router did not answer in time. */
  request(event: WorkEvent, timeoutMs: number): Promise<RouterReply | undefined>;
}

/** The caller's inbox. */
export interface CallerLink {
  /** @returns a promise while the reader is behind; it rejects with ReaderAway when the reader stays away. */
  chunk(seq: number, json: string): Promise<void> | undefined;
  /** @returns a promise where the answer goes in parts; it rejects with ReaderAway when the reader stays away. */
  finish(status: 'ok' | 'cancelled', body: string, stream: boolean): Promise<void> | undefined;
  fail(code: ErrorCode, message: string): void;
}

export class ReaderAway extends Error {
  override readonly name = 'ReaderAway';
}
