import { ranksOf } from './byte-pairs.js';
import { guardedTokenizer, type GuardedTokenizer } from './guarded-tokenizer.js';
import type { TokenizerName } from './models.js';

const loaded = new Map<TokenizerName, Promise<GuardedTokenizer>>();

/**
 * The tokenizer of this name. The vocabulary is imported on the first call (100 to 300 ms of CPU, 20 to 50 MB, so do it at the
 * start of a process), once a process.
 */
export function loadTokenizer(name: TokenizerName): Promise<GuardedTokenizer> {
  let tokenizer = loaded.get(name);
  if (tokenizer === undefined) {
    tokenizer = load(name);
    loaded.set(name, tokenizer);
    tokenizer.catch(() => loaded.delete(name));
  }
  return tokenizer;
}

async function load(name: TokenizerName): Promise<GuardedTokenizer> {
  const patterns = await import('gpt-tokenizer/encodingParams/constants');
  if (name === 'o200k_base') {
    const { default: vocabulary } = await import('gpt-tokenizer/bpeRanks/o200k_base');
    return guardedTokenizer(name, ranksOf(vocabulary), patterns.O200K_TOKEN_SPLIT_REGEX);
  }
  const { default: vocabulary } = await import('gpt-tokenizer/bpeRanks/cl100k_base');
  return guardedTokenizer(name, ranksOf(vocabulary), patterns.CL100K_TOKEN_SPLIT_REGEX);
}
