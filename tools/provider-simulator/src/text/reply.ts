import { askedWords } from './prompt.js';
import { hashText, Random } from './random.js';
import { RING_WORDS, words } from './words.js';

/** One choice of an answer: `tokens` words of the ring from `firstWord` on. */
export interface Reply {
  firstWord: number;
  tokens: number;
  finish: 'stop' | 'length';
}

export interface OutputLength {
  /** Median of the lognormal, in tokens. */
  median: number;
  /** Standard deviation of the logarithm. */
  sigma: number;
  max: number;
}

/** The replies to a prompt. They depend on nothing but the arguments, so a retry of a prompt says the same again. */
export function planReplies(
  lastUserText: string,
  choices: number,
  maxTokens: number,
  seed: number,
  length: OutputLength,
): Reply[] {
  const asked = askedWords(lastUserText);
  const random = new Random(hashText(lastUserText, seed));
  return Array.from({ length: choices }, () => {
    const wanted = asked ?? drawLength(random, length);
    return {
      firstWord: random.below(RING_WORDS),
      tokens: Math.min(wanted, maxTokens),
      finish: wanted > maxTokens ? 'length' : 'stop',
    };
  });
}

function drawLength(random: Random, length: OutputLength): number {
  const drawn = Math.round(length.median * Math.exp(length.sigma * random.normal()));
  return Math.max(1, Math.min(length.max, drawn));
}

/** Tokens `from` to `to` of a reply, with the space that separates them from what was said before. */
export function replyText(reply: Reply, from: number, to: number): string {
  if (to <= from) return '';
  const text = words(reply.firstWord + from, reply.firstWord + to);
  return from === 0 ? text : ' ' + text;
}
