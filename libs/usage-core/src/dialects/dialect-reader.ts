import type { GeneratedText } from '../generated-text.js';
import type { Json } from '../latest-fields.js';
import type { DialectReading } from '../usage-reading.js';

/** What is heard of one call in one dialect. */
export interface DialectReader {
  /** An event of a stream or a whole body. Adds what it generated to `generated`, and clears that where the backend counted it. */
  note(event: Json, generated: GeneratedText): void;
  read(): DialectReading;
}
