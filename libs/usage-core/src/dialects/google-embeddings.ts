import { disjointUsage } from '../disjoint-usage.js';
import { countOf, listOf, objectOf, type Json } from '../latest-fields.js';
import type { DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

/** Vertex embeddings: one body, tokens stated for each text. */
export class GoogleEmbeddingsReader implements DialectReader {
  private tokens: number | undefined;
  private corrupt = false;

  note(body: Json): void {
    const stated = listOf(body['predictions'])
      .map((prediction) => objectOf(objectOf(objectOf(prediction)?.['embeddings'])?.['statistics'])?.['token_count'])
      .filter((value) => value !== undefined && value !== null);
    const counts = stated.map(countOf);
    this.corrupt = counts.includes(undefined);
    this.tokens = counts.length > 0 && !this.corrupt ? counts.reduce<number>((sum, n) => sum + n!, 0) : undefined;
  }

  read(): DialectReading {
    if (this.tokens === undefined) return { complete: false, notes: this.corrupt ? ['corrupt:token_count'] : [] };
    const { usage } = disjointUsage({ input: this.tokens, output: 0 });
    return { usage, basis: 'reported', complete: true, totalRule: 'none-sent', notes: [] };
  }
}
