/** An answer that Anthropic's dialect cannot say. */
export class TranslationError extends Error {
  override readonly name = 'TranslationError';
}
