import type { ChatRequest } from '@meritorder/contracts';

/** What every template adds to a conversation beside its messages. */
const TEMPLATE_TOKENS = 64;

/** The parts of a body that reach the model as text. */
function modelText(body: ChatRequest): unknown[] {
  return [body.messages, body.tools, body['functions'], body['tool_choice'], body.response_format, body['prediction']];
}

/**
 * A sound upper bound of the input tokens: the UTF-8 bytes of everything that reaches the model, as JSON, plus what the chat
 * template adds. A byte is the least that a token of a byte-level tokenizer stands for, so no text, however adversarial, has
 * more tokens. Undefined when a part (image, audio, file) has no such bound.
 */
export function inputTokensBound(body: ChatRequest, templateTokensPerMessage: number): number | undefined {
  for (const message of body.messages) {
    if (!Array.isArray(message.content)) continue;
    if (message.content.some((part) => part.type !== 'text' && part.type !== 'refusal')) return undefined;
  }
  const bytes = modelText(body).reduce<number>(
    (sum, part) => sum + (part === undefined || part === null ? 0 : Buffer.byteLength(JSON.stringify(part), 'utf8')),
    0,
  );
  return bytes + body.messages.length * templateTokensPerMessage + TEMPLATE_TOKENS;
}

/**
 * A fast estimate of the input tokens, for scores: one pass over the characters, four word characters a token, one token for
 * each run of punctuation and for each character of a script without spaces. Linear for any text, also 1 MB of one letter.
 */
export function expectedInputTokens(body: ChatRequest): number {
  let tokens = body.messages.length * 4;
  for (const part of modelText(body)) {
    if (part === undefined || part === null) continue;
    forEachText(part, (text) => (tokens += estimateTextTokens(text)));
  }
  return tokens;
}

function forEachText(value: unknown, visit: (text: string) => void): void {
  if (typeof value === 'string') visit(value);
  else if (Array.isArray(value)) for (const inner of value) forEachText(inner, visit);
  else if (value !== null && typeof value === 'object')
    for (const inner of Object.values(value)) forEachText(inner, visit);
}

export function estimateTextTokens(text: string): number {
  let tokens = 0;
  let wordLength = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isWord =
      (code >= 97 && code <= 122) ||
      (code >= 65 && code <= 90) ||
      (code >= 48 && code <= 57) ||
      (code >= 0xc0 && code < 0x2e80);
    if (isWord) {
      wordLength++;
    } else {
      if (wordLength > 0) tokens += Math.ceil(wordLength / 6);
      wordLength = 0;
      if (code > 32) tokens += 1;
    }
  }
  if (wordLength > 0) tokens += Math.ceil(wordLength / 6);
  return tokens;
}
