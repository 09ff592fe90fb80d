import { getModelCapabilities } from '@ai-sdk/anthropic/internal';
import type { LanguageModelV4CallOptions, LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { SdkProtocol } from '@meritorder/dialect-core';

/** Of the output, by effort: what OpenRouter gives a model that wants a number. */
const SHARES: Readonly<Record<string, number>> = { minimal: 0.1, low: 0.2, medium: 0.5, high: 0.8, xhigh: 0.95 };
/** Anthropic's least budget of thought. */
const LEAST_BUDGET = 1_024;

/**
 * The call as its SDK is to be asked, so that what the model thinks lies within the limit of output: that is what is held for. To
 * models of Claude that want a budget of thought the SDKs give one of their own, on top of the limit.
 * @returns undefined where the model cannot be told this effort within this limit
 */
export function thinkingWithin(
  protocol: SdkProtocol,
  model: string,
  call: LanguageModelV4CallOptions,
): LanguageModelV4CallOptions | undefined {
  const { reasoning, maxOutputTokens: limit } = call;
  const isClaude = protocol === 'anthropic' || (protocol === 'bedrock' && model.includes('claude'));
  if (!isClaude || reasoning === undefined || reasoning === 'none') return call;
  const { supportsAdaptiveThinking, isKnownModel } = getModelCapabilities(model);
  if (supportsAdaptiveThinking) return call;
  const share = SHARES[reasoning];
  if (!isKnownModel || share === undefined || limit === undefined || limit <= LEAST_BUDGET) return undefined;
  const { reasoning: _effort, ...rest } = call;
  // Within a turn these models go on thinking from what they thought, or not at all.
  if (goesOnWithoutThoughts(call.prompt)) return rest;
  const budgetTokens = Math.min(limit - 1, Math.max(LEAST_BUDGET, Math.floor(limit * share)));
  const thinking = { type: 'enabled', budgetTokens };
  const setting = protocol === 'anthropic' ? { thinking } : { reasoningConfig: thinking };
  return {
    ...rest,
    maxOutputTokens: limit - budgetTokens,
    providerOptions: { ...rest.providerOptions, [protocol]: { ...rest.providerOptions?.[protocol], ...setting } },
  };
}

/** The results of calls are to be answered, and the calls came without their sealed thoughts: from another model, or a caller that drops them. */
function goesOnWithoutThoughts(prompt: LanguageModelV4Prompt): boolean {
  if (prompt.at(-1)?.role !== 'tool') return false;
  const called = prompt.findLast((message) => message.role === 'assistant');
  return called?.content[0]?.type !== 'reasoning';
}
