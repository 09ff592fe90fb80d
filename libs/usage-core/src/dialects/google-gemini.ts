import type { Usage } from '@meritorder/contracts';
import { disjointUsage, type Modality, type TokensOf } from '../disjoint-usage.js';
import type { GeneratedText } from '../generated-text.js';
import { countOf, fieldPaths, LatestFields, listOf, nameOf, objectOf, type Json } from '../latest-fields.js';
import { servedTierOf } from '../served-tier.js';
import { withReported, type DialectReading } from '../usage-reading.js';
import type { DialectReader } from './dialect-reader.js';

const FIELDS = fieldPaths({
  prompt: ['promptTokenCount'],
  toolUsePrompt: ['toolUsePromptTokenCount'],
  cached: ['cachedContentTokenCount'],
  candidates: ['candidatesTokenCount'],
  thoughts: ['thoughtsTokenCount'],
  total: ['totalTokenCount'],
  promptDetails: ['promptTokensDetails'],
  toolUseDetails: ['toolUsePromptTokensDetails'],
  cacheDetails: ['cacheTokensDetails'],
  candidatesDetails: ['candidatesTokensDetails'],
});
const COUNTS = ['prompt', 'toolUsePrompt', 'cached', 'candidates', 'thoughts', 'total'] as const;

/** The names of modalities; a document is seen as images. */
const MODALITY: Readonly<Record<string, Modality>> = {
  AUDIO: 'audio',
  IMAGE: 'image',
  DOCUMENT: 'image',
  VIDEO: 'video',
};

/**
 * Google generateContent, of Gemini's own API and Vertex. Cached tokens lie inside the prompt; thoughts and the prompts that
 * tools made lie outside the counts. Each block of a stream is a snapshot of the whole; inside a call with tools a later one may
 * be smaller, so a block that has a total replaces all before it.
 */
export class GoogleGeminiReader implements DialectReader {
  private readonly fields = new LatestFields(FIELDS);
  private servedModel: string | undefined;
  private providerCallId: string | undefined;
  private tier: unknown;
  private searchQueries = 0;
  private finished = false;

  note(event: Json, generated: GeneratedText): void {
    this.servedModel = nameOf(event['modelVersion']) ?? this.servedModel;
    this.providerCallId = nameOf(event['responseId']) ?? this.providerCallId;
    for (const value of listOf(event['candidates'])) this.noteCandidate(objectOf(value), generated);
    if (objectOf(event['promptFeedback'])?.['blockReason'] !== undefined) this.finished = true;
    if ('embedding' in event || 'embeddings' in event) this.finished = true;
    const block = objectOf(event['usageMetadata']);
    if (!block) return;
    this.tier = nameOf(block['serviceTier']) ?? nameOf(block['trafficType']) ?? this.tier;
    if ('totalTokenCount' in block) {
      this.fields.replace(block);
      generated.clear();
    } else this.fields.overwrite(block);
  }

  private noteCandidate(candidate: Json | undefined, generated: GeneratedText): void {
    if (!candidate) return;
    if (nameOf(candidate['finishReason'])) this.finished = true;
    const queries = listOf(objectOf(candidate['groundingMetadata'])?.['webSearchQueries']).filter((q) => nameOf(q));
    this.searchQueries = Math.max(this.searchQueries, new Set(queries).size);
    for (const value of listOf(objectOf(candidate['content'])?.['parts'])) {
      const part = objectOf(value);
      generated.add(part?.['text']);
      const call = objectOf(part?.['functionCall']);
      if (call) generated.add(JSON.stringify(call));
      generated.add(objectOf(part?.['executableCode'])?.['code']);
    }
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
    return withReported(reading, usage, { complete: this.finished, reportedTotalTokens: fields.count('total') });
  }

  private counted(notes: string[]): Usage | undefined {
    const { fields } = this;
    // A blocked prompt has no prompt count; an answer of thoughts alone has no candidates.
    const prompt = fields.count('prompt');
    if (prompt === undefined) return undefined;
    const thoughts = fields.count('thoughts') ?? 0;
    const disjoint = disjointUsage({
      input: prompt + (fields.count('toolUsePrompt') ?? 0),
      cacheRead: fields.count('cached'),
      output: (fields.count('candidates') ?? 0) + thoughts,
      reasoning: thoughts,
      inputOf: bothOf(tokensOf(fields.raw('promptDetails')), tokensOf(fields.raw('toolUseDetails'))),
      cacheReadOf: tokensOf(fields.raw('cacheDetails')),
      outputOf: tokensOf(fields.raw('candidatesDetails')),
      units: { webSearches: this.webSearches() },
    });
    notes.push(...disjoint.notes);
    return disjoint.usage;
  }

  /** Grounding with Google Search: up to Gemini 2.5 billed by the prompt that was grounded, from Gemini 3 by the query. */
  private webSearches(): number {
    const generation = Number(/gemini-(\d+)/.exec(this.servedModel ?? '')?.[1] ?? '3');
    return generation >= 3 ? this.searchQueries : Math.min(1, this.searchQueries);
  }
}

/** Tokens by modality, of a list in which one may occur twice (document and image). */
function tokensOf(details: unknown): Required<TokensOf> {
  const tokens = { audio: 0, image: 0, video: 0 };
  for (const value of listOf(details)) {
    const entry = objectOf(value);
    const modality = nameOf(entry?.['modality'])?.toUpperCase() ?? '';
    const kind = Object.hasOwn(MODALITY, modality) ? MODALITY[modality] : undefined;
    if (kind) tokens[kind] += countOf(entry?.['tokenCount'] ?? entry?.['tokens']) ?? 0;
  }
  return tokens;
}

function bothOf(a: Required<TokensOf>, b: Required<TokensOf>): TokensOf {
  return { audio: a.audio + b.audio, image: a.image + b.image, video: a.video + b.video };
}

export { tokensOf as tokensByModality };
