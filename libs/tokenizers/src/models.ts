/** The public tokenizers that can be counted exactly. */
export type TokenizerName = 'o200k_base' | 'cl100k_base';

/**
 * Families by the start of a model's name, the first that matches; source: tiktoken's `model.py` (MODEL_PREFIX_TO_ENCODING).
 * `gpt-4o`, `gpt-4.1` and `gpt-4.5` stand before `gpt-4`.
 */
const FAMILIES: readonly (readonly [RegExp, TokenizerName])[] = [
  [/^(?:chatgpt-4o|gpt-4o|gpt-4\.[15]|gpt-5|gpt-oss|o[1-9])(?=$|[^a-z0-9])/, 'o200k_base'],
  [/^(?:gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002)(?=$|[^a-z0-9.])/, 'cl100k_base'],
];

/**
 * The public tokenizer of a model, by its name; a vendor's prefix (`openai/gpt-4o`) and a fine-tune's (`ft:gpt-4o:acme`) are
 * looked through. Undefined for every model whose tokenizer is not public.
 */
export function tokenizerOf(model: string): TokenizerName | undefined {
  const name = model.toLowerCase().replace(/^.*\//, '').replace(/^ft:/, '');
  return FAMILIES.find(([family]) => family.test(name))?.[1];
}
