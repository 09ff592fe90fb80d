import { formatDecimal, parseDecimal } from '@meritorder/kernel';

/**
 * Cost of a request from a table of rates per 1K tokens: the function of the text this project came from, made exact.
 * Rates are decimal USD per 1,000 tokens, as in its table; results are decimal USD.
 */
export interface RatePer1k {
  provider: string;
  inputUsdPer1k: string;
  outputUsdPer1k: string;
}
export type RateTable = Record<string, RatePer1k>;

export interface CostEstimate {
  provider: string;
  inputTokens: number;
  outputTokens: number;
  inputUsd: string;
  outputUsd: string;
  totalUsd: string;
}

/** The model has no rates and the table has no `default`. */
export class UnknownModelError extends Error {
  override readonly name = 'UnknownModelError';
}

/** For a model without a tokenizer: four characters a token. */
export function charactersPerTokenFallback(text: string): number {
  return Math.floor(text.length / 4);
}

/** For a route without history: what is allowed, at most 500. */
export function outputTokensFallback(maxOutputTokens: number): number {
  return Math.min(maxOutputTokens, 500);
}

/**
 * Cost of given token counts (non-negative integers).
 * @throws UnknownModelError naming the models of the table; never a zero for an unknown one.
 * @throws RangeError for counts that are not non-negative integers.
 */
export function costOfTokens(model: string, inputTokens: number, outputTokens: number, rates: RateTable): CostEstimate {
  const entry = Object.hasOwn(rates, model)
    ? rates[model]
    : Object.hasOwn(rates, 'default')
      ? rates['default']
      : undefined;
  if (!entry) {
    throw new UnknownModelError(
      `no rates for "${model}"; known: ${Object.keys(rates).join(', ') || 'none'}. Add it, or add "default".`,
    );
  }
  for (const [name, count] of [
    ['input', inputTokens],
    ['output', outputTokens],
  ] as const) {
    if (!Number.isSafeInteger(count) || count < 0)
      throw new RangeError(`${name} tokens must be a non-negative integer, not ${count}`);
  }
  // USD per 1K tokens x 10^9 = pico-USD per token, an integer for up to nine fraction digits.
  const inputPicos = parseDecimal(entry.inputUsdPer1k, 9) * BigInt(inputTokens);
  const outputPicos = parseDecimal(entry.outputUsdPer1k, 9) * BigInt(outputTokens);
  return {
    provider: entry.provider,
    inputTokens,
    outputTokens,
    inputUsd: usd(inputPicos),
    outputUsd: usd(outputPicos),
    totalUsd: usd(inputPicos + outputPicos),
  };
}

/** Cost of a prompt that was not sent yet, with the two named fallbacks for its token counts. */
export function estimateRequestCost(
  model: string,
  inputText: string,
  maxOutputTokens: number,
  rates: RateTable,
): CostEstimate {
  return costOfTokens(model, charactersPerTokenFallback(inputText), outputTokensFallback(maxOutputTokens), rates);
}

function usd(picos: bigint): string {
  return formatDecimal(picos, 12).replace(/\.?0+$/, '');
}
