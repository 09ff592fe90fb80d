import { describe, expect, it } from 'vitest';
import { countPromptTokens } from './prompt.js';
import { Random } from './random.js';
import { planReplies, replyText } from './reply.js';
import { countTokens } from './tokens.js';
import { words } from './words.js';

describe('tokens', () => {
  it.each([
    ['', 0],
    [' \n\t ', 0],
    ['a', 1],
    ['one two  three\n', 3],
    ['12345678', 1],
    ['123456789', 2],
    ['x'.repeat(17), 3],
    ['éééééééé', 1],
    ['😀'.repeat(8), 1],
    ['😀'.repeat(9), 2],
    ['\udc00\udc00\ud800', 1],
    ['non\u00a0breaking', 2],
  ])('%j is %i', (text, tokens) => {
    expect(countTokens(text)).toBe(tokens);
  });

  it('a text never has more tokens than bytes in UTF-8', () => {
    const random = new Random(7);
    const alphabet = ['a', ' ', '\n', '€', '😀', '\ud83d', '\ude00', '\u0000', 'ß', '\u3000', '\t', 'word '];
    for (let round = 0; round < 2_000; round++) {
      const text = Array.from({ length: random.below(60) }, () => alphabet[random.below(alphabet.length)]).join('');
      expect(countTokens(text)).toBeLessThanOrEqual(Buffer.byteLength(text));
    }
  });

  it('a prompt adds 4 a message, 3 a conversation and a flat number an image', () => {
    const prompt = { texts: ['one two', 'three'], messages: 2, images: 1, rawTokens: 0, lastUserText: '' };
    expect(countPromptTokens(prompt, 85)).toBe(3 + 2 * 4 + 3 + 85);
    expect(countPromptTokens({ ...prompt, messages: 0, images: 0, rawTokens: 5 }, 85)).toBe(3 + 5);
  });
});

describe('replies', () => {
  const length = { median: 50, sigma: 1, max: 400 };

  it('every word is one token, across the end of the ring too', () => {
    for (const [from, to] of [
      [0, 1],
      [4_090, 4_100],
      [3, 9_000],
    ] as const) {
      const text = words(from, to);
      expect(text.split(' ')).toHaveLength(to - from);
      expect(countTokens(text)).toBe(to - from);
    }
  });

  it('pieces of a reply join to the whole', () => {
    const reply = { firstWord: 4_000, tokens: 333, finish: 'stop' } as const;
    expect(replyText(reply, 0, 100) + replyText(reply, 100, 101) + replyText(reply, 101, 333)).toBe(
      replyText(reply, 0, 333),
    );
  });

  it.each([
    ['Write 27 words.', 1_000, 27, 'stop'],
    ['Say it. write exactly 3 words', 1_000, 3, 'stop'],
    ['Write 5 words. No: write 6 words.', 1_000, 6, 'stop'],
    ['Write 1 word.', 1_000, 1, 'stop'],
    ['Write 27 words.', 27, 27, 'stop'],
    ['Write 27 words.', 26, 26, 'length'],
  ])('%j with at most %i has %i tokens and ends with %s', (text, max, tokens, finish) => {
    expect(planReplies(text, 1, max, 1, length)[0]).toMatchObject({ tokens, finish });
  });

  it('without a number the length is drawn, and is the same for the same prompt and seed', () => {
    const lengths = Array.from({ length: 300 }, (_, index) => planReplies(`q${index}`, 1, 1_000, 1, length)[0]!.tokens);
    expect(new Set(lengths).size).toBeGreaterThan(50);
    const median = lengths.toSorted((a, b) => a - b)[150]!;
    expect(median).toBeGreaterThan(35);
    expect(median).toBeLessThan(70);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(400);
    expect(planReplies('q1', 2, 1_000, 1, length)).toEqual(planReplies('q1', 2, 1_000, 1, length));
    expect(planReplies('q1', 2, 1_000, 1, length)).not.toEqual(planReplies('q1', 2, 1_000, 2, length));
  });
});
