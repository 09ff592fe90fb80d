/** An answer as it was sent. */
export interface StoredAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export type IdempotencyClaim =
  | { state: 'claimed' }
  | { state: 'in-flight' }
  | ({ state: 'finished' } & StoredAnswer)
  /** The key was used for another request. */
  | { state: 'mismatch' };

/** The first request with each `Idempotency-Key` of an org, and its answer. */
export interface IdempotencyStore {
  /** @param fingerprint of what is asked, so that a key that is used again for something else is noticed. */
  claim(org: string, key: string, fingerprint: string, requestId: string): Promise<IdempotencyClaim>;
  finish(org: string, key: string, requestId: string, answer: StoredAnswer): Promise<void>;
  /** Frees the key: nothing of the request was answered or charged. */
  abandon(org: string, key: string, requestId: string): Promise<void>;
}
