import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { countTokens, TOKENS_PER_CONVERSATION, TOKENS_PER_MESSAGE } from '@meritorder/provider-simulator';
import { percentile, promptFor, readTrace } from '../index.js';

const folder = mkdtempSync(join(tmpdir(), 'trace-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
const file = (text: string): string => {
  const path = join(folder, `trace-${count++}`);
  writeFileSync(path, text);
  return path;
};

describe('a trace', () => {
  it.each<[string, string]>([
    [
      'Azure',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8',
    ],
    [
      'BurstGPT',
      'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n3,ChatGPT,4808,10,4818,API log\n3.052,ChatGPT,3180,8,3188,API log\n',
    ],
    [
      'Mooncake',
      '{"timestamp": 3000, "input_length": 4808, "output_length": 10}\n{"timestamp": 3052, "input_length": 3180, "output_length": 8}\n',
    ],
  ])('of %s is read', (_name, text) => {
    const [first, second] = readTrace(file(text));
    expect(first).toMatchObject({ atMs: 0, inputTokens: 4808, outputTokens: 10 });
    expect(second!.atMs).toBeCloseTo(52, 3);
    expect(second).toMatchObject({ inputTokens: 3180, outputTokens: 8 });
  });

  it('that is none is refused with its line', () => {
    expect(() => readTrace(file('a,b\n1,2'))).toThrow(/:1: the columns are neither/);
    expect(() => readTrace(file('TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,2'))).toThrow(/:2: not a request/);
    expect(() => readTrace(file(''))).toThrow(/empty/);
  });

  it('becomes prompts of exactly its token counts', () => {
    for (const inputTokens of [11, 100, 4808]) {
      const tokens =
        countTokens(promptFor({ atMs: 0, inputTokens, outputTokens: 9 })) +
        TOKENS_PER_MESSAGE +
        TOKENS_PER_CONVERSATION;
      expect(tokens).toBe(inputTokens);
    }
  });

  it('gives equal blocks equal text and other blocks another', () => {
    const prompt = (blocks: number[]): string[] =>
      promptFor({ atMs: 0, inputTokens: 1_100, outputTokens: 1, blocks }).split(' ');
    expect(prompt([1, 2, 3]).slice(0, 512)).toEqual(prompt([1, 9, 3]).slice(0, 512));
    expect(prompt([1, 2, 3]).slice(512, 1024)).not.toEqual(prompt([1, 9, 3]).slice(512, 1024));
  });

  it('percentiles are by nearest rank', () => {
    expect(percentile([4, 1, 3, 2], 50)).toBe(2);
    expect(percentile([4, 1, 3, 2], 99)).toBe(4);
    expect(percentile([], 50)).toBe(0);
  });
});
