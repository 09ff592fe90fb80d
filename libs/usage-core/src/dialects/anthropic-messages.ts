import type { Usage } from '@meritorder/contracts';
import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import type { DialectReading, OtherModelUsage } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  // The second names are Bedrock's invocation metrics, at the end of a stream.
  input: ['input_tokens', 'inputTokenCount'],
  output: ['output_tokens', 'outputTokenCount'],
  cacheRead: ['cache_read_input_tokens', 'cacheReadInputTokenCount'],
  cacheWrite: ['cache_creation_input_tokens', 'cacheWriteInputTokenCount'],
  cacheWrite5m: ['cache_creation.ephemeral_5m_input_tokens'],
  cacheWrite1h: ['cache_creation.ephemeral_1h_input_tokens'],
  thinking: ['output_tokens_details.thinking_tokens'],
  webSearches: ['server_tool_use.web_search_requests'],
  codeExecutions: ['server_tool_use.code_execution_requests'],
});
type Field = keyof typeof FIELDS;
const COUNTS = Object.keys(FIELDS) as Field[];

/**
 * Anthropic messages, on Bedrock and Vertex too. Cache reads and writes lie outside `input_tokens`, thinking inside
 * `output_tokens`. `message_delta` is cumulative: its fields replace those of `message_start`.
 */
export class AnthropicMessagesReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private servedModel: string | undefined;
  private providerCallId: string | undefined;
  private tier: unknown;
  private iterations: readonly unknown[] = [];
  private complete = false;

  note(event: Json, generated: GeneratedText): void {
    const message = objectOf(event['message']) ?? (event['type'] === 'message' ? event : undefined);
    this.servedModel = nameOf(message?.['model']) ?? this.servedModel;
    this.providerCallId = nameOf(message?.['id']) ?? this.providerCallId;
    for (const block of listOf(message?.['content'])) this.noteContent(objectOf(block), generated);
    this.noteContent(objectOf(event['content_block']), generated);
    this.noteContent(objectOf(event['delta']), generated);
    const block = objectOf(message?.['usage']) ?? objectOf(event['usage']);
    if (block) this.noteUsage(block, event['type'] !== 'message_start', generated);
    const metrics = objectOf(event['amazon-bedrock-invocationMetrics']);
    if (metrics && !block) this.noteMetrics(metrics, generated);
  }

  private noteContent(block: Json | undefined, generated: GeneratedText): void {
    if (!block) return;
    // The model that took over from one that declined is the one that answers.
    if (block['type'] === 'fallback') this.servedModel = nameOf(objectOf(block['to'])?.['model']) ?? this.servedModel;
    generated.add(block['text'] ?? block['thinking'] ?? block['partial_json']);
    if (block['type'] === 'tool_use' || block['type'] === 'server_tool_use') {
      generated.add(block['name']);
      if (objectOf(block['input']) && Object.keys(block['input'] as object).length > 0)
        generated.add(JSON.stringify(block['input']));
    }
  }

  private noteUsage(block: Json, isLast: boolean, generated: GeneratedText): void {
    this.fields.overwrite(block);
    this.tier = nameOf(block['service_tier']) ?? this.tier;
    if (Array.isArray(block['iterations'])) this.iterations = block['iterations'];
    this.complete = isLast;
    generated.clear();
  }

  /** Only where the message itself has said nothing: the metrics do not tell cache writes of an hour from those of 5 minutes. */
  private noteMetrics(metrics: Json, generated: GeneratedText): void {
    if (this.complete) return;
    this.fields.overwrite(metrics);
    this.complete = true;
    generated.clear();
  }

  read(): DialectReading {
    const { fields } = this;
    const { tier, notes } = servedTierOf(this.tier);
    const corrupt = fields.corrupt(COUNTS);
    const extra = iterationsOf(this.iterations, this.servedModel);
    const reading: DialectReading = {
      complete: false,
      servedModel: extra.servedModel ?? this.servedModel,
      servedTier: tier,
      providerCallId: this.providerCallId,
      notes: [...notes, ...corrupt.map((name) => `corrupt:${name}`)],
    };
    const counts = new Map(COUNTS.map((name) => [name, fields.count(name)] as const));
    const main = corrupt.length === 0 && !extra.corrupt ? usageOf(counts, reading.notes!) : undefined;
    if (extra.corrupt) reading.notes!.push('corrupt:iterations');
    if (!main) return reading;
    // Compactions run on the same model and are left out of the counts of the message.
    const usage = extra.compactions.reduce(plus, main);
    return {
      ...reading,
      usage,
      basis: 'reported',
      complete: this.complete,
      totalRule: 'none-sent',
      otherModels: extra.others,
    };
  }
}

function usageOf(counts: ReadonlyMap<Field, number | undefined>, notes: string[]): Usage | undefined {
  const input = counts.get('input');
  const output = counts.get('output');
  if (input === undefined || output === undefined) return undefined;
  const cacheRead = counts.get('cacheRead') ?? 0;
  const written = writtenFor(counts);
  const disjoint = disjointUsage({
    input: input + cacheRead + written.fiveMinutes + written.hour,
    cacheRead,
    cacheWrite5m: written.fiveMinutes,
    cacheWrite1h: written.hour,
    output,
    reasoning: counts.get('thinking'),
    units: { webSearches: counts.get('webSearches'), codeExecutions: counts.get('codeExecutions') },
  });
  notes.push(...disjoint.notes);
  return disjoint.usage;
}

/**
 * Cache writes by how long they live. The split comes with `message_start` and the sum may grow until `message_delta`, which
 * has no split: what was added lives as long as what was written before, 5 minutes where both were.
 */
function writtenFor(counts: ReadonlyMap<Field, number | undefined>): { fiveMinutes: number; hour: number } {
  const fiveMinutes = counts.get('cacheWrite5m') ?? 0;
  const hour = counts.get('cacheWrite1h') ?? 0;
  const sum = counts.get('cacheWrite') ?? fiveMinutes + hour;
  const keptHour = fiveMinutes === 0 && hour > 0 ? sum : Math.min(hour, sum);
  return { fiveMinutes: sum - keptHour, hour: keptHour };
}

interface Iterations {
  compactions: Usage[];
  others: OtherModelUsage[];
  /** The model that answered in the end, where a fallback did. */
  servedModel: string | undefined;
  corrupt: boolean;
}

/**
 * What a message was made of. The counts of the message are those of its `message` iterations, or of the last fallback; beside
 * them are billed compactions, at the same prices, and advisors, at those of their model. A model that declined before it said
 * anything is not billed.
 */
function iterationsOf(iterations: readonly unknown[], requested: string | undefined): Iterations {
  const found: Iterations = { compactions: [], others: [], servedModel: undefined, corrupt: false };
  const parsed = iterations.map((value) => objectOf(value) ?? {});
  const fallback = parsed.findLast((iteration) => iteration['type'] === 'fallback_message');
  found.servedModel = nameOf(fallback?.['model']);
  const served = found.servedModel ?? requested;
  for (const iteration of parsed) {
    if (iteration === fallback) continue;
    const type = nameOf(iteration['type']) ?? 'message';
    const model = nameOf(iteration['model']);
    const declined = fallback !== undefined && (type === 'message' || type === 'fallback_message') && model !== served;
    if (type !== 'compaction' && type !== 'advisor_message' && !declined) continue;
    const fields = new LatestFields(FIELDS);
    fields.overwrite(iteration);
    const usage =
      fields.corrupt(COUNTS).length > 0
        ? undefined
        : usageOf(new Map(COUNTS.map((name) => [name, fields.count(name)] as const)), []);
    if (!usage) found.corrupt = true;
    else if (type === 'compaction') found.compactions.push(usage);
    else if (model !== undefined && (type === 'advisor_message' || usage.outputTokens > 0))
      found.others.push({ model, usage });
  }
  return found;
}

/** Of one message and its compaction; `requests` stays one call. */
function plus(a: Usage, b: Usage): Usage {
  const reasoningTokens = (a.reasoningTokens ?? 0) + (b.reasoningTokens ?? 0);
  return {
    ...a,
    inputTokens: a.inputTokens + b.inputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWrite5mTokens: a.cacheWrite5mTokens + b.cacheWrite5mTokens,
    cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    ...(reasoningTokens > 0 ? { reasoningTokens } : {}),
  };
}
