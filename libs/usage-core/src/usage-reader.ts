import type { Dialect } from './dialect.js';
import { AnthropicMessagesReader } from './dialects/anthropic-messages.js';
import { BedrockConverseReader } from './dialects/bedrock-converse.js';
import { CohereReader } from './dialects/cohere.js';
import type { DialectReader } from './dialects/dialect-reader.js';
import { GoogleEmbeddingsReader } from './dialects/google-embeddings.js';
import { GoogleGeminiReader } from './dialects/google-gemini.js';
import { GoogleInteractionsReader } from './dialects/google-interactions.js';
import { LlamaCompletionReader } from './dialects/llama-completion.js';
import { OllamaReader } from './dialects/ollama.js';
import { OpenAiChatReader } from './dialects/openai-chat.js';
import { OpenAiResponsesReader } from './dialects/openai-responses.js';
import { charactersCounted, GeneratedText, type CountTokens } from './generated-text.js';
import { objectOf } from './latest-fields.js';
import { parseEvent } from './parse-event.js';
import type { UsageReading } from './usage-reading.js';

export interface ReaderOptions {
  /** As the price catalogue names it; only decides what the counts leave open. */
  provider?: string | undefined;
  /** For text that the backend did not count. Default: four characters a token. */
  countTokens?: CountTokens | undefined;
}

/** Reads the usage of one call while its answer comes. Holds a bounded amount, however long that is. Never throws. */
export interface UsageReader {
  /** An event of a stream, a list of events, or a whole body; whatever is no JSON object is passed over. */
  feed(event: unknown): void;
  /** The same from its text; returns what was read, undefined when it is no JSON. */
  feedText(text: string): unknown;
  /** The answer has ended as the wire says it ends, so what was said of its usage is all there will be. */
  end(): void;
  read(): UsageReading;
  /** Tokens generated since the backend last counted, counted here. */
  readonly outputTokensSeen: number;
}

/** Providers that have reasoning beside the completion, for answers without a total that shows it. */
const REASONING_OUTSIDE: ReadonlySet<string | undefined> = new Set(['x-ai', 'xai', 'perplexity']);

export function usageReader(dialect: Dialect, options: ReaderOptions = {}): UsageReader {
  return new Reader(dialectReader(dialect, options), new GeneratedText(options.countTokens ?? charactersCounted));
}

/** The usage of a whole body. */
export function readUsage(dialect: Dialect, body: unknown, options: ReaderOptions = {}): UsageReading {
  const reader = usageReader(dialect, options);
  reader.feed(body);
  return reader.read();
}

function dialectReader(dialect: Dialect, { provider }: ReaderOptions): DialectReader {
  switch (dialect) {
    case 'openai-chat':
      return new OpenAiChatReader(REASONING_OUTSIDE.has(provider), false);
    case 'openai-embeddings':
      return new OpenAiChatReader(false, true);
    case 'openai-responses':
      return new OpenAiResponsesReader();
    case 'anthropic-messages':
      return new AnthropicMessagesReader();
    case 'google-gemini':
      return new GoogleGeminiReader();
    case 'google-interactions':
      return new GoogleInteractionsReader();
    case 'google-embeddings':
      return new GoogleEmbeddingsReader();
    case 'bedrock-converse':
      return new BedrockConverseReader();
    case 'cohere':
      return new CohereReader();
    case 'ollama':
      return new OllamaReader();
    case 'llama-completion':
      return new LlamaCompletionReader();
  }
}

class Reader implements UsageReader {
  private ended = false;

  constructor(
    private readonly dialect: DialectReader,
    private readonly generated: GeneratedText,
  ) {}

  feed(event: unknown): void {
    if (Array.isArray(event)) {
      for (const one of event) this.feedOne(one);
    } else this.feedOne(event);
  }

  private feedOne(event: unknown): void {
    const object = objectOf(event);
    if (object) this.dialect.note(object, this.generated);
  }

  feedText(text: string): unknown {
    const event = parseEvent(text);
    this.feed(event);
    return event;
  }

  end(): void {
    this.ended = true;
  }

  read(): UsageReading {
    const { complete, ...rest } = this.dialect.read();
    return {
      usage: undefined,
      basis: undefined,
      servedModel: undefined,
      servedTier: undefined,
      providerCallId: undefined,
      timings: undefined,
      statedPicos: undefined,
      reportedTotalTokens: undefined,
      totalRule: 'none-sent',
      otherModels: [],
      notes: [],
      ...rest,
      complete: rest.usage !== undefined && (complete || this.ended),
    };
  }

  get outputTokensSeen(): number {
    return this.generated.tokens;
  }
}
