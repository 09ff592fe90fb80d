import type { InputParts } from './input-parts.js';

/** The most input tokens that one part can cost at a backend, as configured; undefined: nobody said. */
export interface PartSettings {
  readonly maxTokensPerImage?: number | undefined;
  readonly maxTokensPerFile?: number | undefined;
  readonly maxTokensPerAudio?: number | undefined;
}

const COUNTED = [
  ['images', 'maxTokensPerImage', 'firstImage'],
  ['files', 'maxTokensPerFile', 'firstFile'],
  ['audios', 'maxTokensPerAudio', 'firstAudio'],
] as const;

/**
 * What is expected of one, where its most is not less. A page of a PDF is 1,500 to 3,000 tokens of text (Anthropic) and a
 * picture, so this is a file of one or two pages; a minute of audio is 600 tokens at OpenAI and 1,920 at Gemini. Neither is learned: one file says nothing of the next.
 */
const EXPECTED_TOKENS_PER_FILE = 5_000;
const EXPECTED_TOKENS_PER_AUDIO = 1_000;

/** The most tokens of what is counted in place of being read; undefined: a part has no most. */
export function mostInParts(parts: InputParts, settings: PartSettings): number | undefined {
  if (parts.others > 0) return undefined;
  let most = 0;
  for (const [count, setting] of COUNTED) {
    if (parts[count] === 0) continue;
    const each = settings[setting];
    if (each === undefined) return undefined;
    most += parts[count] * each;
  }
  return most;
}

/** In words, the first part without a most, and what to do about it; undefined: all of them have one. */
export function unboundedPart(parts: InputParts, settings: PartSettings): string | undefined {
  if (parts.firstOther !== undefined) return parts.firstOther;
  const without = COUNTED.find(([count, setting]) => parts[count] > 0 && settings[setting] === undefined);
  return without && parts[without[2]];
}

/** Tokens that are expected of files and audio. */
export function expectedInFiles({ files, audios }: InputParts, settings: PartSettings): number {
  return (
    files * Math.min(EXPECTED_TOKENS_PER_FILE, settings.maxTokensPerFile ?? Infinity) +
    audios * Math.min(EXPECTED_TOKENS_PER_AUDIO, settings.maxTokensPerAudio ?? Infinity)
  );
}
