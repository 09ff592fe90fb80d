import { seededRandom } from '@meritorder/kernel';
import cl100k from 'gpt-tokenizer/encoding/cl100k_base';
import o200k from 'gpt-tokenizer/encoding/o200k_base';
import o200kVocabulary from 'gpt-tokenizer/bpeRanks/o200k_base';
import { O200K_TOKEN_SPLIT_REGEX } from 'gpt-tokenizer/encodingParams/constants';
import { beforeAll, describe, expect, it } from 'vitest';
import { ranksOf, type Ranks } from './byte-pairs.js';
import { guardedTokenizer } from './guarded-tokenizer.js';
import { EXACT_LIMIT_BYTES, loadTokenizer, tokenizerOf, type GuardedTokenizer } from './index.js';

const print = process.env['MERITORDER_PRINT'] === '1';
const NAMES = ['o200k_base', 'cl100k_base'] as const;
const REFERENCE = { o200k_base: o200k, cl100k_base: cl100k };
/** Names of special tokens are plain text in what a caller sends. */
const AS_TEXT = { disallowedSpecial: new Set<string>(), allowedSpecial: new Set<string>() };
o200k.setMergeCacheSize(0);
cl100k.setMergeCacheSize(0);

const random = seededRandom(71);
const below = (n: number): number => Math.floor(random() * n);
const repeat = (length: number, piece: () => string): string => {
  let text = '';
  while (text.length < length) text += piece();
  return text.slice(0, length);
};
const letter = (): string => String.fromCharCode(97 + below(26));

const TEXTS: Record<string, string> = {
  nothing: '',
  'one space': ' ',
  prose: 'The budget is a promise, and a promise that nobody can check is worth no more than the paper it is on.',
  contractions: "I'm sure they'll say it's what we'd done; YOU'RE right, he's O'Neill's",
  code: 'export const x = (a: number[]): number =>\n\t\ta?.[0] ?? { ...b }; // 0x1F != 1e-9\r\n\r\n    return "ok";\n',
  'white space': '  a \t b\n\n\n   c \r\n \u00a0\u2003d   ',
  digits: '1 12 123 1234 12345678901234567890 3.14159 ١٢٣',
  'special names as text': 'before <|endoftext|> between <|im_start|>system<|im_end|> <|fim_prefix|> after',
  accents: 'Zażółć gęślą jaźń — naïve façade, Übergrößenträger, e\u0301e\u0301',
  scripts: '人人生而自由，すべての人間は 모든 인간은 ทั้งหลาย Все люди حرية שווים सभी मनुष्यों',
  'thai without spaces': 'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิต่างมีเหตุผลและมโนธรรม'.repeat(4),
  emoji: '😀😃👨‍👩‍👧‍👦🏳️‍🌈🇩🇪 ok 👍🏽',
  'lone surrogates': 'a\ud800b\udc00\udc00c\ud83d',
  'mixed case': 'camelCaseHTTPServerXMLHttpRequest MiXeDcAsE ʰʲ Ǆ',
  base64: repeat(600, () => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charAt(below(64))),
  'a run of one letter': 'a'.repeat(3_000),
  'a run of random letters': repeat(3_000, letter),
  'a run of signs': repeat(2_000, () => '=-/*#+'.charAt(below(6))),
  'a run of spaces': ' '.repeat(3_000) + 'x',
  'a run of one emoji': '😀'.repeat(700),
  'a run of han': repeat(1_000, () => String.fromCodePoint(0x4e00 + below(0x5000))),
  'any units': repeat(1_500, () => String.fromCharCode(below(0x1_0000))),
};

let tokenizers: Record<(typeof NAMES)[number], GuardedTokenizer>;
beforeAll(async () => {
  tokenizers = { o200k_base: await loadTokenizer('o200k_base'), cl100k_base: await loadTokenizer('cl100k_base') };
});

describe.each(NAMES)('%s', (name) => {
  const exact = (text: string): number => REFERENCE[name].countTokens(text, AS_TEXT);

  it.each(Object.keys(TEXTS))('counts %s exactly as the published encoder does', (label) => {
    const text = TEXTS[label]!;
    expect(tokenizers[name].countTokens(text)).toBe(exact(text));
    expect(tokenizers[name].countTokensOffline(text)).toBe(exact(text));
  });

  it('counts 400 random mixtures of words, runs and scripts exactly', () => {
    const pieces = [
      () => repeat(1 + below(12), letter) + ' ',
      () => String(below(1e9)),
      () => '\n\t  \r '.slice(below(5)),
      () => repeat(1 + below(60), letter).toUpperCase(),
      () => String.fromCodePoint(0x80 + below(0x2_0000)).repeat(1 + below(3)),
      () => '.,;:!?(){}[]<>"\'`~@#$%^&*-_=+|\\/'.charAt(below(32)).repeat(1 + below(5)),
    ];
    for (let i = 0; i < 400; i++) {
      const text = repeat(1 + below(400), () => pieces[below(pieces.length)]!());
      expect([text, tokenizers[name].countTokens(text)]).toEqual([text, exact(text)]);
    }
  });

  it('says nothing of a text above its limit of 8 KB, whatever its bytes a character', () => {
    const { countTokens } = tokenizers[name];
    expect(EXACT_LIMIT_BYTES).toBe(8_192);
    for (const [character, bytes] of [
      ['a', 1],
      ['é', 2],
      ['人', 3],
      ['😀', 4],
    ] as const) {
      const most = Math.floor(EXACT_LIMIT_BYTES / bytes);
      expect(countTokens(character.repeat(most))).toBeGreaterThan(0);
      expect(countTokens(character.repeat(most + 1))).toBeUndefined();
    }
    expect(countTokens('a '.repeat(500_000))).toBeUndefined();
  });

  it('counts long prose offline exactly, and is at most .2 % off where a run has no break for 8 KB', () => {
    const prose = `${TEXTS['prose']} ${TEXTS['scripts']}. ${TEXTS['contractions']}\n`.repeat(150);
    expect(tokenizers[name].countTokensOffline(prose)).toBe(exact(prose));
    const worst = ['a', '😀', '人', 'letters'].map((what) => {
      const run = what === 'letters' ? repeat(9_000, letter) : what.repeat(9_000 / what.length);
      const [counted, actual] = [tokenizers[name].countTokensOffline(run), exact(run)];
      if (print) console.log(`${name} 9,000 units of ${what}: cut ${counted}, whole ${actual}`);
      return Math.abs(counted - actual) / actual;
    });
    expect(Math.max(...worst)).toBeLessThanOrEqual(0.002);
  }, 120_000);
});

describe('the work of a count', () => {
  const vocabulary = ranksOf(o200kVocabulary);
  let lookups = 0;
  const counting: Ranks = {
    get: (bytes) => (lookups++, vocabulary.get(bytes)),
    has: (bytes) => (lookups++, vocabulary.has(bytes)),
  };
  const counted = guardedTokenizer('o200k_base', vocabulary, O200K_TOKEN_SPLIT_REGEX, counting);

  it.each([
    ['one letter', 'a'.repeat(8_192)],
    ['random letters', repeat(8_192, letter)],
    ['equals signs', '='.repeat(8_192)],
    ['spaces', ' '.repeat(8_192)],
    ['emoji', '😀'.repeat(2_048)],
    ['random han', repeat(2_730, () => String.fromCodePoint(0x4e00 + below(0x5000)))],
    ['one letter a word', 'a '.repeat(4_096)],
  ])('is at most 2 lookups for each byte of %s, and 1 a run', (_label, text) => {
    lookups = 0;
    counted.countTokens(text);
    expect(lookups).toBeGreaterThan(0);
    expect(lookups).toBeLessThanOrEqual(2 * Buffer.byteLength(text) + text.length);
  });

  it('grows with the text, not with its square: 16x the run takes 16x the lookups', () => {
    const of = (text: string): number => {
      lookups = 0;
      counted.countTokensOffline(text);
      return lookups;
    };
    for (const letters of ['a', 'qz'])
      expect(of(letters.repeat(131_072 / letters.length))).toBeLessThanOrEqual(
        17 * of(letters.repeat(8_192 / letters.length)),
      );
  });
});

describe('the tokenizer of a model', () => {
  it.each([
    ['gpt-4o', 'o200k_base'],
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['openai/gpt-4.1-nano', 'o200k_base'],
    ['ft:gpt-4o-mini:acme::x1', 'o200k_base'],
    ['gpt-5.1', 'o200k_base'],
    ['o3-mini', 'o200k_base'],
    ['gpt-oss-120b', 'o200k_base'],
    ['GPT-4-turbo', 'cl100k_base'],
    ['gpt-3.5-turbo-0125', 'cl100k_base'],
    ['text-embedding-3-small', 'cl100k_base'],
    ['claude-sonnet-4-5', undefined],
    ['llama-3.3-70b', undefined],
    ['gemini-2.5-pro', undefined],
    ['gpt-44', undefined],
    ['olmo-2', undefined],
  ])('of %s is %s', (model, name) => expect(tokenizerOf(model)).toBe(name));

  it('is loaded once a process', () => expect(loadTokenizer('o200k_base')).toBe(loadTokenizer('o200k_base')));
});
