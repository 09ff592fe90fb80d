import { describe, expect, it } from 'vitest';
import { leadingBlocks, PrefixCache } from './prefix-cache.js';

const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => `w${from + index}`).join(' ');

describe('leading blocks', () => {
  it('hold 64 words each, and leave the rest out', () => {
    const blocks = leadingBlocks([numbered(0, 100), numbered(100, 200)]);
    expect(blocks.map(({ tokensUpToEnd }) => tokensUpToEnd)).toEqual([64, 128, 192]);
    expect(leadingBlocks([numbered(0, 63)])).toEqual([]);
  });

  it('count long words by their tokens', () => {
    expect(leadingBlocks(['x'.repeat(9).concat(' ').repeat(64)])[0]!.tokensUpToEnd).toBe(128);
  });

  it('have the same keys as long as everything before is the same', () => {
    const keys = (texts: string[]): number[] => leadingBlocks(texts).map(({ key }) => key);
    const base = keys([numbered(0, 192)]);
    expect(keys([numbered(0, 128) + ' other words']).slice(0, 2)).toEqual(base.slice(0, 2));
    expect(keys([numbered(0, 192).replaceAll(' ', '\n  ')])).toEqual(base);
    const changed = keys(['first ' + numbered(1, 192)]);
    expect(new Set([...changed, ...base]).size).toBe(6);
    expect(keys([numbered(0, 10), numbered(10, 192)])).not.toEqual(base);
  });
});

describe('the prefix cache', () => {
  const blocks = leadingBlocks([numbered(0, 256)]);

  it('knows leading blocks without a gap, until they expire; a use refreshes them', () => {
    const cache = new PrefixCache(100, 1_000);
    expect(cache.leadingHits(blocks, 0)).toBe(0);
    cache.store(blocks.slice(0, 2), 0);
    expect(cache.leadingHits(blocks, 999)).toBe(2);
    cache.store(blocks.slice(0, 1), 900);
    expect(cache.leadingHits(blocks, 1_000)).toBe(1);
    expect(cache.leadingHits(blocks.slice(1), 500)).toBe(1);
  });

  it('forgets the least recently used block when it is full', () => {
    const cache = new PrefixCache(3, 1_000);
    cache.store(blocks.slice(0, 3), 0);
    cache.store(blocks.slice(0, 1), 0);
    cache.store(blocks.slice(3), 0);
    expect(cache.leadingHits(blocks, 0)).toBe(1);
    expect(cache.leadingHits(blocks.slice(2), 0)).toBe(2);
  });
});
