import { countTokens, TOKENS_PER_CONVERSATION, TOKENS_PER_MESSAGE } from './tokens.js';

/** A prompt as every wire format is reduced to it. */
export interface Prompt {
  /** All texts in the order in which the model reads them: tools, system, messages. */
  texts: string[];
  /** Messages that cost template tokens (a system prompt is one); 0 for embeddings, which have no template. */
  messages: number;
  /** With files and audio, which count as much as an image. */
  images: number;
  /** Inputs that came as token numbers already (embeddings). */
  rawTokens: number;
  /** What may say how many words to write. */
  lastUserText: string;
}

/** Input tokens: the texts, 4 a message, 3 a conversation, a flat number an image. */
export function countPromptTokens(prompt: Prompt, tokensPerImage: number): number {
  let tokens = prompt.rawTokens + prompt.images * tokensPerImage;
  for (const text of prompt.texts) tokens += countTokens(text);
  if (prompt.messages > 0) tokens += prompt.messages * TOKENS_PER_MESSAGE + TOKENS_PER_CONVERSATION;
  return tokens;
}

const ASKED_WORDS = /\bwrite\s+(?:exactly\s+)?(\d{1,7})\s+words?\b/gi;

/** The number in the last "Write 27 words." of a text, or undefined. */
export function askedWords(text: string): number | undefined {
  let asked: number | undefined;
  for (const match of text.matchAll(ASKED_WORDS)) asked = Number(match[1]);
  return asked;
}
