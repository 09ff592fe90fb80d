import type { EngineTimings, Usage, UsageUnit } from '@meritorder/contracts';
import { disjointUsage } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import { totalRuleOf, type DialectReading } from '../usage-reading.js';
import { whatLiesOutside } from '../what-lies-outside.js';
import type { DialectReader } from './dialect-reader.js';
import { LlamaTimings } from './llama-timings.js';
import { statedCharge } from './stated-charge.js';

/** One count, and what the providers that speak this wire call it. */
const FIELDS = fieldPaths({
  input: ['prompt_tokens'],
  output: ['completion_tokens'],
  total: ['total_tokens'],
  cacheRead: [
    'prompt_tokens_details.cached_tokens',
    'prompt_token_details.cached_tokens',
    'prompt_cache_hit_tokens', // DeepSeek
    'cached_tokens', // Moonshot, Together
    'num_cached_tokens',
    'cached_prompt_text_tokens', // xAI, early
  ],
  cacheWrite: ['prompt_tokens_details.cache_write_tokens', 'prompt_tokens_details.cache_creation_tokens'],
  reasoning: ['completion_tokens_details.reasoning_tokens', 'reasoning_tokens'],
  inputAudio: ['prompt_tokens_details.audio_tokens'],
  inputImage: ['prompt_tokens_details.image_tokens'],
  inputVideo: ['prompt_tokens_details.video_tokens'],
  outputAudio: ['completion_tokens_details.audio_tokens'],
  outputImage: ['completion_tokens_details.image_tokens'],
  citations: ['citation_tokens'], // Perplexity
  webSearches: ['num_search_queries', 'server_tool_use.web_search_requests'], // Perplexity, OpenRouter
});
const COUNTS = Object.keys(FIELDS) as (keyof typeof FIELDS)[];

const MS_PER_SECOND = 1_000;

/**
 * OpenAI chat completions, text completions and embeddings, and the many that speak this wire: Azure, vLLM, llama-server, xAI,
 * DeepSeek, Mistral, Groq, OpenRouter, Perplexity, Moonshot, Alibaba, Together, Fireworks. Cached tokens lie inside the prompt,
 * reasoning inside the completion, unless the total says otherwise.
 */
export class OpenAiChatReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private readonly llama = new LlamaTimings();
  private block: Json | undefined;
  private servedModel: string | undefined;
  private providerCallId: string | undefined;
  private tier: unknown;
  private readonly unfinished = new Set<number>();
  private finished = false;
  private blockIsLast = false;

  /** @param reasoningOutside where the provider is known to have reasoning beside the completion, for blocks without a total. */
  constructor(
    private readonly reasoningOutside: boolean,
    private readonly embeddings: boolean,
  ) {}

  note(event: Json, generated: GeneratedText): void {
    this.servedModel = nameOf(event['model']) ?? this.servedModel;
    this.providerCallId = nameOf(event['id']) ?? this.providerCallId;
    this.tier = nameOf(event['service_tier']) ?? this.tier;
    const choices = listOf(event['choices']);
    for (const choice of choices) this.noteChoice(objectOf(choice), generated);
    const block = objectOf(event['usage']) ?? objectOf(objectOf(event['x_groq'])?.['usage']);
    const standsAlone = choices.length === 0 || event['object'] === 'chat.completion';
    if (block) this.noteBlock(block, standsAlone, generated);
    if (this.llama.note(event['timings'])) {
      this.blockIsLast = standsAlone;
      generated.clear();
    }
  }

  private noteChoice(choice: Json | undefined, generated: GeneratedText): void {
    if (!choice) return;
    const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
    if (nameOf(choice['finish_reason'])) {
      this.finished = true;
      this.unfinished.delete(index);
    } else if (this.unfinished.size < MAX_CHOICES) this.unfinished.add(index);
    addText(objectOf(choice['delta']) ?? objectOf(choice['message']), generated);
    generated.add(choice['text']);
  }

  private noteBlock(block: Json, standsAlone: boolean, generated: GeneratedText): void {
    const isWhole = 'prompt_tokens' in block && ('completion_tokens' in block || 'total_tokens' in block);
    if (isWhole) {
      this.fields.replace(block);
      this.block = block;
      this.blockIsLast = standsAlone;
      generated.clear();
    } else this.fields.overwrite(block);
  }

  read(): DialectReading {
    const { fields } = this;
    const { tier, notes } = servedTierOf(this.tier);
    const reading: DialectReading = {
      complete: false,
      servedModel: this.servedModel,
      servedTier: tier,
      providerCallId: this.providerCallId,
      notes: [...notes, ...fields.corrupt(COUNTS).map((name) => `corrupt:${name}`)],
    };
    const counted = this.counted(reading.notes!);
    if (counted) {
      reading.usage = counted;
      reading.basis = 'reported';
      reading.reportedTotalTokens = fields.count('total');
      reading.totalRule = totalRuleOf(counted, reading.reportedTotalTokens);
    } else if (fields.corrupt(COUNTS).length === 0 && this.llama.usage) {
      reading.usage = this.llama.usage;
      reading.basis = 'engine-timings';
    }
    const charge = this.block && statedCharge(this.block);
    if (charge === 'corrupt') reading.notes!.push('corrupt:charge');
    else if (reading.basis === 'reported') reading.statedPicos = charge;
    reading.timings = this.llama.timings ?? groqTimings(this.block, counted);
    reading.complete =
      reading.usage !== undefined &&
      (this.blockIsLast || (this.finished && this.unfinished.size === 0) || this.embeddings);
    return reading;
  }

  private counted(notes: string[]): Usage | undefined {
    const { fields } = this;
    if (fields.corrupt(COUNTS).length > 0) return undefined;
    const total = fields.count('total');
    const stated = statedCounts(fields.count('input'), fields.count('output'), total, this.embeddings);
    if (!stated) return undefined;
    const { input, output } = stated;
    const reasoning = fields.count('reasoning') ?? 0;
    const cacheRead = fields.count('cacheRead') ?? this.llama.cachedOf(input) ?? 0;
    const cacheWrite = fields.count('cacheWrite') ?? 0;
    const citations = fields.count('citations');
    const outside = whatLiesOutside({ input, output, reasoning, cacheRead, cacheWrite, total }, this.reasoningOutside);
    // Perplexity bills reasoning and citations beside the completion, and leaves both out of its total.
    const reasoningOutside = outside.reasoning || (citations !== undefined && reasoning > 0);
    if (reasoningOutside) notes.push('outside:reasoning');
    if (outside.cache) notes.push('outside:cache');
    if (outside.unlisted > 0) notes.push(`unlisted:${outside.unlisted}`);
    const disjoint = disjointUsage({
      input: input + (outside.cache ? cacheRead + cacheWrite : 0),
      cacheRead,
      cacheWrite5m: cacheWrite,
      output: output + (reasoningOutside ? reasoning : 0) + outside.unlisted,
      reasoning,
      inputOf: {
        audio: fields.count('inputAudio') ?? 0,
        image: fields.count('inputImage') ?? 0,
        video: fields.count('inputVideo') ?? 0,
      },
      outputOf: { audio: fields.count('outputAudio') ?? 0, image: fields.count('outputImage') ?? 0 },
      units: { citationTokens: citations, webSearches: fields.count('webSearches'), ...audioSeconds(this.block) },
    });
    notes.push(...disjoint.notes);
    return disjoint.usage;
  }
}

const MAX_CHOICES = 1_024;

/** The two main counts; one of them may follow from the total. */
function statedCounts(
  input: number | undefined,
  output: number | undefined,
  total: number | undefined,
  embeddings: boolean,
): { input: number; output: number } | undefined {
  if (input !== undefined && output !== undefined) return { input, output };
  if (input !== undefined && total !== undefined && total >= input) return { input, output: total - input };
  if (output !== undefined && total !== undefined && total >= output) return { input: total - output, output };
  const embedded = embeddings ? (input ?? total) : undefined;
  return embedded === undefined ? undefined : { input: embedded, output: 0 };
}

/** Mistral bills the seconds of audio beside the tokens. Others send an empty object there. */
function audioSeconds(block: Json | undefined): Partial<Record<UsageUnit, number>> {
  const seconds = block?.['prompt_audio_seconds'];
  return typeof seconds === 'number' && seconds > 0 && seconds < Number.MAX_SAFE_INTEGER / MS_PER_SECOND
    ? { audioMilliseconds: Math.round(seconds * MS_PER_SECOND) }
    : {};
}

function addText(message: Json | undefined, generated: GeneratedText): void {
  if (!message) return;
  const content = message['content'];
  if (Array.isArray(content)) for (const part of content) generated.add(objectOf(part)?.['text']);
  else generated.add(content);
  generated.add(message['reasoning_content'] ?? message['reasoning']);
  generated.add(message['refusal']);
  for (const call of [...listOf(message['tool_calls']), { function: message['function_call'] }]) {
    const made = objectOf(objectOf(call)?.['function']);
    generated.add(made?.['name']);
    generated.add(made?.['arguments']);
  }
}

/** Groq says in seconds how long the prompt and the completion took. */
function groqTimings(block: Json | undefined, usage: Usage | undefined): EngineTimings | undefined {
  const prompt = block?.['prompt_time'];
  const completion = block?.['completion_time'];
  if (!usage || !isDuration(prompt) || !isDuration(completion)) return undefined;
  return {
    prefillTokens: usage.inputTokens,
    prefillMs: prompt * MS_PER_SECOND,
    decodeTokens: usage.outputTokens,
    decodeMs: completion * MS_PER_SECOND,
  };
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
