import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { costOfTokens } from '@meritorder/pricing-core';
import { afterAll, expect, it } from 'vitest';
import { readRates } from './rates.js';

const folder = mkdtempSync(join(tmpdir(), 'meritorder-rates-'));
const file = join(folder, 'rates.json');
afterAll(() => rmSync(folder, { recursive: true }));

it('rates may be written as texts or as numbers', () => {
  writeFileSync(file, '{ "gpt-4-turbo": { "provider": "openai", "inputUsdPer1k": 0.01, "outputUsdPer1k": "0.03" } }');
  expect(costOfTokens('gpt-4-turbo', 1_000, 500, readRates(file))).toMatchObject({ totalUsd: '0.025' });
});

it.each([
  ['[1', /rates.json cannot be read as JSON/],
  ['[]', /is not a table of rates: the file/],
  ['{ "a": { "provider": "x" } }', /is not a table of rates: a.inputUsdPer1k/],
  [
    '{ "a": { "provider": "x", "inputUsdPer1k": -1, "outputUsdPer1k": 1 } }',
    /a.inputUsdPer1k: must be USD per 1K tokens/,
  ],
  [
    '{ "a": { "provider": "x", "inputUsdPer1k": "cheap", "outputUsdPer1k": 1 } }',
    /a.inputUsdPer1k: must be USD per 1K/,
  ],
])('a table that cannot be used is one line that says why: %s', (text, line) => {
  writeFileSync(file, text);
  expect(() => readRates(file)).toThrow(line);
});
