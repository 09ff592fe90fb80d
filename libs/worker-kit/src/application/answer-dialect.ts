import type { MessagesRequest, Receipt, ResponsesRequest, Usage, WorkRequest } from '@meritorder/contracts';
import {
  chatOfMessages,
  chatOfResponses,
  EventsOfChunks,
  EventsOfResponse,
  messageOfChat,
  responseOfChat,
  TranslationError,
  usageBlock,
  type AnswerNames,
  type AskedFor,
  type ChatReading,
  type ResponseNames,
} from '@meritorder/dialect-core';

type Json = Record<string, unknown>;

/** In what words a backend is asked, and its answer is told: as the kind of the request has it. Of one attempt. */
export interface AnswerDialect {
  /** What the backend is sent, but for what its wire sets. */
  readonly body: Json;
  /** A whole answer. @throws TranslationError */
  whole(answer: Json, usage: Usage | undefined): Json;
  /** What the caller gets of one chunk of the backend's. @throws TranslationError */
  chunk(json: string): readonly string[];
  /** The same when the stream ends here, before the backend was done. @param lastChunk OpenAI's, that ends every choice */
  cut(lastChunk: string): readonly string[];
  /** What is left to say after the last chunk. @param usage as it is booked */
  end(usage: Usage | undefined): readonly string[];
  /** The terminal message of a stream. */
  last(names: ResponseNames, receipt: Receipt, status: 'ok' | 'cancelled'): Json;
}

/**
 * @param marks whether a backend that is sent a chat completion takes the marks of the prompt cache with it
 * @throws TranslationError where the request cannot be told to a backend that speaks chat completions.
 */
export function answerDialect(
  work: Pick<WorkRequest, 'terms' | 'body'>,
  translated: boolean,
  marks = false,
): AnswerDialect {
  const { terms, body } = work;
  const names = { id: terms.attemptId, model: terms.model };
  if (terms.kind === 'responses') {
    const createdSeconds = Math.floor(Date.parse(terms.reservedAt) / 1_000);
    return new TranslatedResponse(body as ResponsesRequest, { ...names, createdSeconds });
  }
  if (terms.kind !== 'messages') return new AsItComes(body);
  return translated ? new TranslatedMessages(body as MessagesRequest, names, marks) : new NativeMessages(body);
}

/** OpenAI's own: chat completions and embeddings. */
class AsItComes implements AnswerDialect {
  constructor(readonly body: Json) {}

  whole(answer: Json): Json {
    return answer;
  }
  chunk(json: string): readonly string[] {
    return [json];
  }
  cut(lastChunk: string): readonly string[] {
    return [lastChunk];
  }
  end(): readonly string[] {
    return [];
  }
  last(names: { id: string; model: string; createdSeconds: number }, receipt: Receipt): Json {
    return {
      id: names.id,
      object: 'chat.completion.chunk',
      created: names.createdSeconds,
      model: names.model,
      choices: [],
      meritorder: receipt,
    };
  }
}

/** Anthropic's stream ends with `message_stop`, so that is what carries the receipt. */
function messageStop(receipt: Receipt): Json {
  return { type: 'message_stop', meritorder: receipt };
}

/** Anthropic's, of a backend that speaks chat completions. */
class TranslatedMessages implements AnswerDialect {
  readonly body: Json;
  private readonly asked: AskedFor;
  private readonly events: EventsOfChunks;

  constructor(request: MessagesRequest, names: AnswerNames, marks: boolean) {
    this.body = carried(chatOfMessages(request, marks ? 'marked-wire' : 'wire'));
    this.asked = { stopSequences: request.stop_sequences ?? [] };
    this.events = new EventsOfChunks(names, this.asked);
  }

  whole(answer: Json, usage: Usage | undefined): Json {
    return messageOfChat(answer, this.asked, usage);
  }
  chunk(json: string): readonly string[] {
    return this.events.feed(JSON.parse(json) as Json).map((event) => JSON.stringify(event));
  }
  cut(lastChunk: string): readonly string[] {
    return this.chunk(lastChunk);
  }
  end(usage: Usage | undefined): readonly string[] {
    return this.events.end(usage).map((event) => JSON.stringify(event));
  }
  last(_names: unknown, receipt: Receipt): Json {
    return messageStop(receipt);
  }
}

/** OpenAI's response, of a backend that speaks chat completions, as all do here. */
class TranslatedResponse implements AnswerDialect {
  readonly body: Json;
  private readonly events: EventsOfResponse;

  constructor(
    private readonly request: ResponsesRequest,
    private readonly names: ResponseNames,
  ) {
    this.body = carried(chatOfResponses(request));
    this.events = new EventsOfResponse(names, request);
  }

  whole(answer: Json, usage: Usage | undefined): Json {
    return responseOfChat(answer, this.request, this.names, usage);
  }
  chunk(json: string): readonly string[] {
    return this.events.feed(JSON.parse(json) as Json).map((event) => JSON.stringify(event));
  }
  cut(lastChunk: string): readonly string[] {
    return this.chunk(lastChunk);
  }
  end(usage: Usage | undefined): readonly string[] {
    return this.events.end(usage).map((event) => JSON.stringify(event));
  }
  last(_names: unknown, receipt: Receipt, status: 'ok' | 'cancelled'): Json {
    return { ...this.events.last(status === 'cancelled'), meritorder: receipt };
  }
}

/** @throws TranslationError where a chat completion cannot say all of a request. */
function carried({ chat, uncarried: [first] }: ChatReading): Json {
  if (first) throw new TranslationError(`a chat completion cannot say ${first.what} (${first.path})`);
  return chat;
}

/** Anthropic's, of a backend that speaks it itself. */
class NativeMessages implements AnswerDialect {
  private open: unknown;
  private wasCut = false;

  constructor(readonly body: Json) {}

  whole(answer: Json): Json {
    return answer;
  }
  chunk(json: string): readonly string[] {
    const { type, index } = JSON.parse(json) as Json;
    if (type === 'content_block_start') this.open = index;
    else if (type === 'content_block_stop') this.open = undefined;
    return type === 'message_stop' ? [] : [json];
  }
  cut(): readonly string[] {
    this.wasCut = true;
    return this.open === undefined ? [] : [JSON.stringify({ type: 'content_block_stop', index: this.open })];
  }
  end(usage: Usage | undefined): readonly string[] {
    if (!this.wasCut) return [];
    const delta = { stop_reason: 'max_tokens', stop_sequence: null };
    return [JSON.stringify({ type: 'message_delta', delta, usage: usageBlock(usage) })];
  }
  last(_names: unknown, receipt: Receipt): Json {
    return messageStop(receipt);
  }
}
