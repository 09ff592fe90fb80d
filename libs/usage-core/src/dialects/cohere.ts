import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import type { DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  billedInput: ['billed_units.input_tokens'],
  billedOutput: ['billed_units.output_tokens'],
  input: ['tokens.input_tokens'],
  output: ['tokens.output_tokens'],
  cached: ['cached_tokens'],
});
const COUNTS = Object.keys(FIELDS) as (keyof typeof FIELDS)[];

/**
 * Cohere chat and embed. What is billed is `billed_units`; `tokens` is what the model saw, with Cohere's own template, and
 * `cached_tokens` is of those. Only where no billed units are sent do they count.
 */
export class CohereReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private providerCallId: string | undefined;
  private servedModel: string | undefined;
  private complete = false;

  note(event: Json, generated: GeneratedText): void {
    this.providerCallId = nameOf(event['id']) ?? this.providerCallId;
    this.servedModel = nameOf(event['model']) ?? this.servedModel;
    const delta = objectOf(event['delta']);
    addText(objectOf(delta?.['message']) ?? objectOf(event['message']), generated);
    const block = objectOf(delta?.['usage']) ?? objectOf(event['usage']) ?? objectOf(event['meta']);
    if (!block) return;
    this.fields.replace(block);
    this.complete = true;
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const corrupt = fields.corrupt(COUNTS);
    const reading: DialectReading = {
      complete: false,
      servedModel: this.servedModel,
      providerCallId: this.providerCallId,
      notes: corrupt.map((name) => `corrupt:${name}`),
    };
    const billed = fields.count('billedInput') !== undefined || fields.count('billedOutput') !== undefined;
    const input = fields.count(billed ? 'billedInput' : 'input');
    const output = fields.count(billed ? 'billedOutput' : 'output');
    if (corrupt.length > 0 || (input === undefined && output === undefined)) return reading;
    // An embedding has no output; a unit that is not billed is not named.
    const disjoint = disjointUsage({
      input: input ?? 0,
      cacheRead: billed ? undefined : fields.count('cached'),
      output: output ?? 0,
    });
    return {
      ...reading,
      usage: disjoint.usage,
      basis: 'reported',
      complete: this.complete,
      totalRule: 'none-sent',
      notes: disjoint.notes,
    };
  }
}

function addText(message: Json | undefined, generated: GeneratedText): void {
  if (!message) return;
  generated.add(message['tool_plan']);
  const content = message['content'];
  for (const part of Array.isArray(content) ? content : [content]) {
    const block = objectOf(part);
    generated.add(block?.['text'] ?? block?.['thinking']);
  }
  const calls = message['tool_calls'];
  for (const call of Array.isArray(calls) ? listOf(calls) : [calls]) {
    const made = objectOf(objectOf(call)?.['function']);
    generated.add(made?.['name']);
    generated.add(made?.['arguments']);
  }
}
