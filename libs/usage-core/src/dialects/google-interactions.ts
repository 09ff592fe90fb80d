import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import { withReported, type DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';
import { tokensByModality } from './google-gemini.js';

const FIELDS = fieldPaths({
  input: ['total_input_tokens'],
  toolUse: ['total_tool_use_tokens'],
  cached: ['total_cached_tokens'],
  output: ['total_output_tokens'],
  thoughts: ['total_thought_tokens'],
  total: ['total_tokens'],
  inputDetails: ['input_tokens_by_modality'],
  cacheDetails: ['cached_tokens_by_modality'],
  outputDetails: ['output_tokens_by_modality'],
});
const COUNTS = ['input', 'toolUse', 'cached', 'output', 'thoughts', 'total'] as const;

/** Google interactions: cached tokens inside the input; thoughts and tool use outside of the input and output counts. */
export class GoogleInteractionsReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private interaction: { model?: string | undefined; id?: string | undefined; tier?: unknown } = {};
  private complete = false;

  note(event: Json, generated: GeneratedText): void {
    const interaction = objectOf(event['interaction']) ?? event;
    this.interaction = {
      model: nameOf(interaction['model']) ?? this.interaction.model,
      id: (interaction['object'] === 'interaction' ? nameOf(interaction['id']) : undefined) ?? this.interaction.id,
      tier: nameOf(interaction['service_tier']) ?? this.interaction.tier,
    };
    generated.add(objectOf(event['delta'])?.['text']);
    for (const step of listOf(interaction['steps']))
      for (const part of listOf(objectOf(step)?.['content'])) generated.add(objectOf(part)?.['text']);
    const block = objectOf(interaction['usage']);
    if (!block) return;
    this.fields.replace(block);
    this.complete = interaction['status'] !== 'in_progress';
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const corrupt = fields.corrupt(COUNTS);
    const { tier, notes } = servedTierOf(this.interaction.tier);
    const reading: DialectReading = {
      complete: false,
      servedModel: this.interaction.model,
      servedTier: tier,
      providerCallId: this.interaction.id,
      notes: [...notes, ...corrupt.map((name) => `corrupt:${name}`)],
    };
    const input = fields.count('input');
    const output = fields.count('output');
    if (corrupt.length > 0 || input === undefined || output === undefined) return reading;
    const thoughts = fields.count('thoughts') ?? 0;
    const disjoint = disjointUsage({
      input: input + (fields.count('toolUse') ?? 0),
      cacheRead: fields.count('cached'),
      output: output + thoughts,
      reasoning: thoughts,
      inputOf: tokensByModality(fields.raw('inputDetails')),
      cacheReadOf: tokensByModality(fields.raw('cacheDetails')),
      outputOf: tokensByModality(fields.raw('outputDetails')),
    });
    return withReported({ ...reading, notes: [...reading.notes!, ...disjoint.notes] }, disjoint.usage, {
      complete: this.complete,
      reportedTotalTokens: fields.count('total'),
    });
  }
}
