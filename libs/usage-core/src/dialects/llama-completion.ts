import type { GeneratedText } from '../generated-text.js';
import { nameOf, type Json } from '../latest-fields.js';
import type { DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';
import { LlamaTimings } from './llama-timings.js';

/** llama-server's own `/completion`: text in `content`, counts in `timings`. Its OpenAI wire is read as `openai-chat`. */
export class LlamaCompletionReader implements DialectReader {
  private readonly llama = new LlamaTimings();
  private servedModel: string | undefined;
  private stopped = false;

  note(event: Json, generated: GeneratedText): void {
    this.servedModel = nameOf(event['model']) ?? this.servedModel;
    generated.add(event['content']);
    if (event['stop'] === true) this.stopped = true;
    if (this.llama.note(event['timings'])) generated.clear();
  }

  read(): DialectReading {
    const { usage, timings } = this.llama;
    const base = { servedModel: this.servedModel, notes: [] };
    if (!usage) return { ...base, complete: false };
    return { ...base, usage, timings, basis: 'engine-timings', complete: this.stopped, totalRule: 'none-sent' };
  }
}
