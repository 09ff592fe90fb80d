import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readInvoice } from './invoice.js';

const folder = mkdtempSync(join(tmpdir(), 'meritorder-invoice-'));
const file = join(folder, 'invoice.json');
afterAll(() => rmSync(folder, { recursive: true }));

it('a provider that was never called has an invoice without lines and without a period', async () => {
  writeFileSync(file, '{ "provider": "openai", "from": null, "to": null, "lines": [] }');
  expect(await readInvoice(file)).toMatchObject({ lines: [] });
});

it.each([
  ['not json', /invoice.json cannot be read as JSON/],
  ['{ "provider": "openai" }', /invoice.json is not an invoice: /],
])('what is no invoice is one line that says why: %s', async (text, line) => {
  writeFileSync(file, text);
  await expect(readInvoice(file)).rejects.toThrow(line);
});
