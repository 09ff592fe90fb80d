import {
  forgetEndedResponses,
  forgetResponse,
  itemsById,
  keepResponse,
  responseById,
  turnsUpTo,
  type KeptResponse,
} from '@meritorder/ledger-store';
import type { DataSource } from 'typeorm';
import { forgetAll, forgetEveryMinute } from './forget-every-minute.js';

/** OpenAI's responses, for as long as they are kept, of each org for itself. */
export class PostgresResponseStore {
  private stop = (): void => {};

  constructor(
    private readonly source: DataSource,
    private readonly options: { keptMs: number; onError?: (message: string) => void },
  ) {}

  /** Forgets what has ended, every minute, until `close`. */
  start(): void {
    this.stop = forgetEveryMinute(
      (limit) => forgetEndedResponses(this.source, limit),
      (error) => this.options.onError?.(`responses that have ended are not forgotten: ${error.message}`),
    );
  }

  close(): void {
    this.stop();
  }

  forgetEnded(): Promise<number> {
    return forgetAll((limit) => forgetEndedResponses(this.source, limit));
  }

  keep(kept: KeptResponse): Promise<void> {
    return keepResponse(this.source, kept, this.options.keptMs);
  }

  turnsUpTo(org: string, id: string): Promise<{ input: string; response: string }[] | undefined> {
    return turnsUpTo(this.source, org, id);
  }

  itemsById(org: string, ids: readonly string[]): Promise<Map<string, string>> {
    return itemsById(this.source, org, ids);
  }

  responseById(org: string, id: string): Promise<string | undefined> {
    return responseById(this.source, org, id);
  }

  forget(org: string, id: string): Promise<boolean> {
    return forgetResponse(this.source, org, id);
  }
}
