import type {
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider';
import type { Usage } from '@meritorder/contracts';
import type { AnswerNames } from '../chunks-to-events.js';
import type { Json } from '../json.js';
import { TranslationError } from '../translation-error.js';
import { brokenBy, finishReasonOf, type FinishReason } from './finish-reason.js';
import { sealOfCall, SealedThoughts } from './thoughts.js';

/**
 * The parts of an SDK's stream as OpenAI's chunks, each as soon as it can be told. Keeps the ids of the calls and nothing else of
 * the answer but what its thoughts are sealed with. Reasoning goes where open models have it, into `reasoning_content`.
 */
export class ChunksOfParts {
  private readonly calls = new Map<string, number>();
  private readonly sealed = new Set<string>();
  private readonly thoughts = new SealedThoughts();
  private started = false;
  private ended: FinishReason | undefined;
  private broken: string | undefined;

  constructor(
    private readonly names: AnswerNames,
    private readonly createdSeconds: number,
  ) {}

  /** Why it ended; undefined: it has not, or broke off. */
  get finishReason(): FinishReason | undefined {
    return this.ended;
  }

  /** In words, where its last event says that it broke off. */
  get brokenOff(): string | undefined {
    return this.broken;
  }

  /**
   * Undefined: nothing to tell.
   * @throws TranslationError where the answer has what a chat completion has no words for.
   */
  feed(part: LanguageModelV4StreamPart): Json | undefined {
    switch (part.type) {
      case 'text-delta':
        return part.delta === '' ? undefined : this.delta({ content: part.delta });
      // What is closed to the eye comes with the beginning, or, from Bedrock, whole with the end.
      case 'reasoning-start':
      case 'reasoning-end':
        return void this.thoughts.add(part.id, '', part.providerMetadata);
      case 'reasoning-delta':
        this.thoughts.add(part.id, part.delta, part.providerMetadata);
        return part.delta === '' ? undefined : this.delta({ reasoning_content: part.delta });
      case 'tool-input-start':
        refuseProvidersOwn(part);
        return this.call(part.id, part.toolName, '', part.providerMetadata);
      case 'tool-input-delta':
        return part.delta === '' ? undefined : this.callPiece(part.id, part.delta);
      case 'tool-call':
        refuseProvidersOwn(part);
        return this.calls.has(part.toolCallId)
          ? this.seal(part.toolCallId, part.providerMetadata)
          : this.call(part.toolCallId, part.toolName, part.input, part.providerMetadata);
      case 'finish':
        this.ended = finishReasonOf(part.finishReason, this.started);
        if (this.ended === undefined) this.broken = brokenBy(part.finishReason);
        return this.ended && this.delta(this.detailsOfThoughts(), this.ended);
      case 'file':
      case 'reasoning-file':
        throw new TranslationError(`the answer has a file (${part.mediaType})`);
      default:
        return undefined;
    }
  }

  /** The last chunk for those who asked for it. */
  usage(usage: Usage | undefined): Json {
    return { ...this.chunk([]), usage: completionUsage(usage) };
  }

  private call(id: string, name: string, args: string, metadata: SharedV4ProviderMetadata | undefined): Json {
    const index = this.calls.size;
    this.calls.set(id, index);
    const seal = sealOfCall(metadata);
    if (seal.extra_content) this.sealed.add(id);
    return this.delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: args }, ...seal }] });
  }

  /** Where it comes after the call was begun. */
  private seal(id: string, metadata: SharedV4ProviderMetadata | undefined): Json | undefined {
    const seal = sealOfCall(metadata);
    if (!seal.extra_content || this.sealed.has(id)) return undefined;
    this.sealed.add(id);
    return this.delta({ tool_calls: [{ index: this.calls.get(id), ...seal }] });
  }

  /** Once and whole, at the end: of lists in pieces every reader makes something else. */
  private detailsOfThoughts(): Json {
    const details = this.thoughts.details();
    return details === undefined ? {} : { reasoning_details: details };
  }

  private callPiece(id: string, args: string): Json {
    const index = this.calls.get(id);
    if (index === undefined) throw new TranslationError('a piece of a call that was not begun');
    return this.delta({ tool_calls: [{ index, function: { arguments: args } }] });
  }

  private delta(delta: Json, finish_reason: FinishReason | null = null): Json {
    const first = this.started ? {} : { role: 'assistant' };
    this.started = true;
    return this.chunk([{ index: 0, delta: { ...first, ...delta }, finish_reason }]);
  }

  private chunk(choices: Json[]): Json {
    const { id, model } = this.names;
    return { id, object: 'chat.completion.chunk', created: this.createdSeconds, model, choices };
  }
}

/** A whole answer of an SDK as OpenAI's. @throws TranslationError as a stream does, and where the answer broke off. */
export function completionOfContent(
  { content, finishReason }: { content: readonly LanguageModelV4Content[]; finishReason: LanguageModelV4FinishReason },
  names: AnswerNames,
  createdSeconds: number,
  usage: Usage | undefined,
): Record<string, unknown> {
  const ended = finishReasonOf(finishReason, content.length > 0);
  if (!ended) throw new TranslationError(brokenBy(finishReason));
  const texts: string[] = [];
  const thoughts: string[] = [];
  const sealed = new SealedThoughts();
  const calls: Json[] = [];
  for (const part of content) {
    if (part.type === 'text') texts.push(part.text);
    else if (part.type === 'reasoning') {
      sealed.add(String(thoughts.length), part.text, part.providerMetadata);
      thoughts.push(part.text);
    } else if (part.type === 'tool-call') {
      refuseProvidersOwn(part);
      calls.push({
        id: part.toolCallId,
        type: 'function',
        function: { name: part.toolName, arguments: part.input },
        ...sealOfCall(part.providerMetadata),
      });
    } else if (part.type === 'file' || part.type === 'reasoning-file')
      throw new TranslationError(`the answer has a file (${part.mediaType})`);
  }
  const details = sealed.details();
  const message = {
    role: 'assistant',
    content: texts.length === 0 ? null : texts.join(''),
    refusal: null,
    ...(thoughts.length === 0 ? {} : { reasoning_content: thoughts.join('') }),
    ...(details === undefined ? {} : { reasoning_details: details }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  return {
    id: names.id,
    object: 'chat.completion',
    created: createdSeconds,
    model: names.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: ended }],
    usage: completionUsage(usage),
  };
}

function refuseProvidersOwn({ providerExecuted, toolName }: { providerExecuted?: boolean; toolName: string }): void {
  if (providerExecuted) throw new TranslationError(`the provider called a tool of its own (${toolName})`);
}

/** OpenAI counts what a cache has inside the prompt, and reasoning inside the completion. */
export function completionUsage(usage: Usage | undefined): Json | undefined {
  if (!usage) return undefined;
  const units = usage.units ?? {};
  const sum = (...counts: (number | undefined)[]): number => counts.reduce<number>((a, b) => a + (b ?? 0), 0);
  const cached = sum(
    usage.cacheReadTokens,
    units.cacheReadAudioTokens,
    units.cacheReadImageTokens,
    units.cacheReadVideoTokens,
  );
  const prompt = sum(
    usage.inputTokens,
    units.inputAudioTokens,
    units.inputImageTokens,
    units.inputVideoTokens,
    usage.cacheWrite5mTokens,
    usage.cacheWrite1hTokens,
    cached,
  );
  const completion = sum(usage.outputTokens, units.outputAudioTokens, units.outputImageTokens, units.outputVideoTokens);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
  };
}
