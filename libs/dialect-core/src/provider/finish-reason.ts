import type { LanguageModelV4FinishReason } from '@ai-sdk/provider';

/** OpenAI's reason for the end of an answer. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/**
 * Reasons of providers that SDKs have no word of their own for. `undefined`: there is no answer, whatever of it there is.
 * @see https://ai.google.dev/api/generate-content#FinishReason, https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#FinishReason
 * @see https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (stopReason)
 */
const OTHERS: ReadonlyMap<string, FinishReason | undefined> = new Map([
  // Gemini
  ['FINISH_REASON_UNSPECIFIED', undefined],
  ['OTHER', undefined],
  ['LANGUAGE', undefined], // one that it does not speak
  ['MALFORMED_FUNCTION_CALL', undefined],
  ['MALFORMED_RESPONSE', undefined],
  ['UNEXPECTED_TOOL_CALL', undefined], // of a tool that it was not given
  ['TOO_MANY_TOOL_CALLS', undefined],
  ['MISSING_THOUGHT_SIGNATURE', undefined],
  ['NO_IMAGE', undefined],
  ['IMAGE_OTHER', undefined],
  ['IMAGE_PROHIBITED_CONTENT', 'content_filter'],
  ['IMAGE_RECITATION', 'content_filter'],
  ['MODEL_ARMOR', 'content_filter'],
  // Bedrock
  ['malformed_model_output', undefined],
  ['malformed_tool_use', undefined],
  ['model_context_window_exceeded', 'length'],
  // Anthropic
  ['compaction', 'stop'],
]);

/**
 * Undefined: it did not end, whatever of it there is.
 * @param said whether the answer has anything: of a reason that nobody here knows, nothing is no answer
 */
export function finishReasonOf({ unified, raw }: LanguageModelV4FinishReason, said: boolean): FinishReason | undefined {
  switch (unified) {
    case 'stop':
    case 'length':
      return unified;
    case 'tool-calls':
      return 'tool_calls';
    case 'content-filter':
      return 'content_filter';
    case 'other':
      // Without a reason the stream was left.
      if (raw === undefined) return undefined;
      return OTHERS.has(raw) ? OTHERS.get(raw) : said ? 'stop' : undefined;
    default:
      return undefined;
  }
}

/** In words, of one that did not end. */
export function brokenBy({ raw }: LanguageModelV4FinishReason): string {
  return `the answer broke off${raw === undefined ? '' : ` (${raw.slice(0, 100)})`}`;
}
