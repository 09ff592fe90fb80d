/** A response as it is kept; JSON as text. */
export interface KeptResponse {
  org: string;
  id: string;
  /** The response that it goes on from. */
  previous: string | undefined;
  /** A list of items: what was new in its request. */
  input: string;
  /** Its items that have an id. */
  items: readonly { id: string; item: string }[];
  response: string;
}

/** OpenAI's responses, for as long as they are kept, of each org for itself. */
export interface ResponseStore {
  keep(kept: KeptResponse): Promise<void>;
  /** What was asked and answered up to a response, the first turn first; undefined: not all of that is kept. */
  turnsUpTo(org: string, id: string): Promise<{ input: string; response: string }[] | undefined>;
  /** Those of these items that are kept. */
  itemsById(org: string, ids: readonly string[]): Promise<Map<string, string>>;
  responseById(org: string, id: string): Promise<string | undefined>;
  /** Whether there was one. */
  forget(org: string, id: string): Promise<boolean>;
}
