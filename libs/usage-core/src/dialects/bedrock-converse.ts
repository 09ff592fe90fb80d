import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { countOf, fieldPaths, LatestFields, listOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import { withReported, type DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  input: ['inputTokens'],
  output: ['outputTokens'],
  cacheRead: ['cacheReadInputTokens', 'cacheReadInputTokenCount'],
  cacheWrite: ['cacheWriteInputTokens', 'cacheWriteInputTokenCount'],
  cacheDetails: ['cacheDetails'],
  total: ['totalTokens'],
});
const COUNTS = ['input', 'output', 'cacheRead', 'cacheWrite', 'total'] as const;

/**
 * Amazon Bedrock Converse: cache reads and writes lie outside `inputTokens`; reasoning is inside `outputTokens` and not told
 * apart. The total is seen with the cache and without it. The answer names no model: it is the one of the path.
 */
export class BedrockConverseReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private tier: unknown;

  note(event: Json, generated: GeneratedText): void {
    const message = objectOf(objectOf(event['output'])?.['message']);
    for (const block of listOf(message?.['content'])) addText(objectOf(block), generated);
    addText(objectOf(objectOf(event['contentBlockDelta'])?.['delta']), generated);
    addText(objectOf(objectOf(event['contentBlockStart'])?.['start']), generated);
    const metadata = objectOf(event['metadata']) ?? event;
    this.tier = metadata['serviceTier'] ?? this.tier;
    const block = objectOf(metadata['usage']);
    if (!block) return;
    this.fields.replace(block);
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const corrupt = fields.corrupt(COUNTS);
    const { tier, notes } = servedTierOf(this.tier);
    const reading: DialectReading = {
      complete: false,
      servedTier: tier,
      notes: [...notes, ...corrupt.map((name) => `corrupt:${name}`)],
    };
    const input = fields.count('input');
    const output = fields.count('output');
    if (corrupt.length > 0 || input === undefined || output === undefined) return reading;
    const cacheRead = fields.count('cacheRead') ?? 0;
    const cacheWrite = fields.count('cacheWrite') ?? 0;
    const cacheWrite1h = Math.min(cacheWrite, writtenForAnHour(fields.raw('cacheDetails')));
    const disjoint = disjointUsage({
      input: input + cacheRead + cacheWrite,
      cacheRead,
      cacheWrite5m: cacheWrite - cacheWrite1h,
      cacheWrite1h,
      output,
    });
    return withReported(reading, disjoint.usage, { complete: true, reportedTotalTokens: fields.count('total') });
  }
}

function writtenForAnHour(details: unknown): number {
  return listOf(details)
    .map((value) => objectOf(value))
    .filter((entry) => entry?.['ttl'] === '1h')
    .reduce((sum, entry) => sum + (countOf(entry?.['inputTokens']) ?? 0), 0);
}

function addText(block: Json | undefined, generated: GeneratedText): void {
  if (!block) return;
  generated.add(block['text']);
  const reasoning = objectOf(block['reasoningContent']);
  generated.add(reasoning?.['text'] ?? objectOf(reasoning?.['reasoningText'])?.['text']);
  const tool = objectOf(block['toolUse']);
  generated.add(tool?.['name']);
  const input = tool?.['input'];
  generated.add(typeof input === 'object' && input !== null ? JSON.stringify(input) : input);
}
