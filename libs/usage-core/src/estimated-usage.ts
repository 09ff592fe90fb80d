import type { Usage } from '@meritorder/contracts';
import { GeneratedText, type CountTokens } from './generated-text.js';

/** What is known of a call whose backend did not count it to the end. */
export interface Unreported {
  /** The estimate from before the call; undefined: there is none. */
  inputTokensExpected: number | undefined;
  /** What the backend said before it stopped saying anything: its counts stand for what came before them. */
  reported?: Usage | undefined;
  /** Tokens generated since then, as counted here. */
  outputTokensSeen: number;
}

/** The usage to book as `estimated`. Undefined when not even the input is known: then nobody can say, and the bound stands. */
export function estimatedUsage({ inputTokensExpected, reported, outputTokensSeen }: Unreported): Usage | undefined {
  const outputTokens = Math.ceil(outputTokensSeen);
  if (reported) return { ...reported, outputTokens: reported.outputTokens + outputTokens };
  if (inputTokensExpected === undefined || !(inputTokensExpected >= 0)) return undefined;
  return {
    inputTokens: Math.ceil(inputTokensExpected),
    cacheReadTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    outputTokens,
    requests: 1,
  };
}

/** Tokens of a whole text, by the counter where it counts. */
export function outputTokensOf(text: string, countTokens: CountTokens): number {
  const generated = new GeneratedText(countTokens);
  generated.add(text);
  return generated.tokens;
}
