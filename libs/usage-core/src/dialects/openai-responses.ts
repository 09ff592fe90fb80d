import type { Usage, UsageUnit } from '@meritorder/contracts';
import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { countOf, fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import { withReported, type DialectReading } from '../usage-reading.js';
import { whatLiesOutside } from '../what-lies-outside.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  input: ['input_tokens'],
  output: ['output_tokens'],
  total: ['total_tokens'],
  cacheRead: ['input_tokens_details.cached_tokens', 'input_token_details.cached_tokens'],
  cacheWrite: ['input_tokens_details.cache_write_tokens'],
  reasoning: ['output_tokens_details.reasoning_tokens'],
  inputAudio: ['input_token_details.audio_tokens', 'input_tokens_details.audio_tokens'],
  inputImage: ['input_tokens_details.image_tokens', 'input_token_details.image_tokens'],
  outputAudio: ['output_token_details.audio_tokens', 'output_tokens_details.audio_tokens'],
  outputImage: ['output_tokens_details.image_tokens'],
  // xAI counts what its tools did; of OpenAI's the items of the output are counted.
  webCalls: ['server_side_tool_usage_details.web_search_calls'],
  xCalls: ['server_side_tool_usage_details.x_search_calls'],
  fileCalls: ['server_side_tool_usage_details.file_search_calls'],
  documentCalls: ['server_side_tool_usage_details.document_search_calls'],
  codeCalls: ['server_side_tool_usage_details.code_interpreter_calls'],
});
const COUNTS = Object.keys(FIELDS) as (keyof typeof FIELDS)[];
const UNFINISHED: ReadonlySet<unknown> = new Set(['queued', 'in_progress']);
const MS_PER_SECOND = 1_000;

type Tools = Partial<Record<UsageUnit, number | undefined>>;

/**
 * OpenAI Responses and who speaks it (Azure, xAI, LM Studio), and the usage blocks of the same shape: images, transcriptions.
 * Cached tokens and cache writes lie inside the input, reasoning inside the output.
 */
export class OpenAiResponsesReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private servedModel: string | undefined;
  private providerCallId: string | undefined;
  private tier: unknown;
  private complete = false;
  private tools: Tools = {};
  private audioMilliseconds: number | undefined;

  note(event: Json, generated: GeneratedText): void {
    const { type, delta } = event;
    if (typeof type === 'string' && type.endsWith('.delta') && !type.includes('audio')) generated.add(delta);
    const response = objectOf(event['response']) ?? event;
    this.servedModel = nameOf(response['model']) ?? this.servedModel;
    this.tier = nameOf(response['service_tier']) ?? this.tier;
    if (response !== event || response['object'] !== undefined)
      this.providerCallId = nameOf(response['id']) ?? this.providerCallId;
    const output = listOf(response['output']);
    if (output.length > 0) this.tools = toolsOf(output);
    if (response === event) addText(response, output, generated);
    const block = objectOf(response['usage']);
    if (!block) return;
    this.fields.replace(block);
    this.audioMilliseconds = block['type'] === 'duration' ? milliseconds(block['seconds']) : undefined;
    this.complete = !UNFINISHED.has(response['status']);
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const corrupt = fields.corrupt(COUNTS);
    const { tier, notes } = servedTierOf(this.tier);
    const reading: DialectReading = {
      complete: false,
      servedModel: this.servedModel,
      servedTier: tier,
      providerCallId: this.providerCallId,
      notes: [...notes, ...corrupt.map((name) => `corrupt:${name}`)],
    };
    const usage = corrupt.length === 0 ? this.counted(reading.notes!) : undefined;
    if (!usage) return reading;
    return withReported(reading, usage, { complete: this.complete, reportedTotalTokens: fields.count('total') });
  }

  private counted(notes: string[]): Usage | undefined {
    const { fields, audioMilliseconds } = this;
    const input = fields.count('input') ?? (audioMilliseconds === undefined ? undefined : 0);
    const output = fields.count('output') ?? (audioMilliseconds === undefined ? undefined : 0);
    if (input === undefined || output === undefined) return undefined;
    const reasoning = fields.count('reasoning') ?? 0;
    const cacheRead = fields.count('cacheRead') ?? 0;
    const cacheWrite = fields.count('cacheWrite') ?? 0;
    const total = fields.count('total');
    const outside = whatLiesOutside({ input, output, reasoning, cacheRead, cacheWrite, total }, false);
    if (outside.reasoning) notes.push('outside:reasoning');
    if (outside.cache) notes.push('outside:cache');
    if (outside.unlisted > 0) notes.push(`unlisted:${outside.unlisted}`);
    const disjoint = disjointUsage({
      input: input + (outside.cache ? cacheRead + cacheWrite : 0),
      cacheRead,
      cacheWrite5m: cacheWrite,
      output: output + (outside.reasoning ? reasoning : 0) + outside.unlisted,
      reasoning,
      inputOf: { audio: fields.count('inputAudio') ?? 0, image: fields.count('inputImage') ?? 0 },
      outputOf: { audio: fields.count('outputAudio') ?? 0, image: fields.count('outputImage') ?? 0 },
      units: { ...this.tools, ...this.statedTools(), audioMilliseconds },
    });
    notes.push(...disjoint.notes);
    return disjoint.usage;
  }

  private statedTools(): Tools {
    const { fields } = this;
    const web = fields.count('webCalls');
    if (web === undefined) return {};
    return {
      webSearches: web + (fields.count('xCalls') ?? 0),
      fileSearches: (fields.count('fileCalls') ?? 0) + (fields.count('documentCalls') ?? 0),
      codeExecutions: fields.count('codeCalls'),
    };
  }
}

/** What OpenAI bills by the call: searches, but not the opening of a page that a search has found. */
function toolsOf(output: readonly unknown[]): Tools {
  const tools = { webSearches: 0, fileSearches: 0, codeExecutions: 0 };
  for (const value of output) {
    const item = objectOf(value);
    const action = nameOf(objectOf(item?.['action'])?.['type']);
    if (item?.['type'] === 'web_search_call' && (action ?? 'search') === 'search') tools.webSearches++;
    else if (item?.['type'] === 'file_search_call') tools.fileSearches++;
    else if (item?.['type'] === 'code_interpreter_call') tools.codeExecutions++;
  }
  return tools;
}

function addText(body: Json, output: readonly unknown[], generated: GeneratedText): void {
  generated.add(body['text']);
  for (const value of output) {
    const item = objectOf(value);
    for (const part of [...listOf(item?.['content']), ...listOf(item?.['summary'])])
      generated.add(objectOf(part)?.['text']);
    generated.add(item?.['name']);
    generated.add(item?.['arguments'] ?? item?.['input'] ?? item?.['code']);
  }
}

function milliseconds(seconds: unknown): number | undefined {
  return typeof seconds === 'number' ? countOf(Math.round(seconds * MS_PER_SECOND)) : undefined;
}
