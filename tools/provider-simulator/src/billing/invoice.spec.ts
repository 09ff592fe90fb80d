import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { invoiceCsv, invoiceDocument, invoiceJson } from './invoice-documents.js';
import { Invoice, type Charge } from './invoice.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'provider-simulator-'));
  path = join(folder, 'invoice.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

function charge(number: number, more: Partial<Charge> = {}): Charge {
  return {
    callId: `call-${number}`,
    clientRequestId: number % 2 === 0 ? null : `client-${number}`,
    model: 'm',
    startedAtMs: 1_000 * number,
    endedAtMs: 1_000 * number + 500,
    inputTokens: number,
    cachedInputTokens: 2,
    cacheWriteTokens: 3,
    outputTokens: 4,
    nanoUsd: BigInt(number),
    outcome: 'completed',
    ...more,
  };
}

describe('the invoice', () => {
  it('is read back from its file as it was, whatever happened to the process that wrote it', async () => {
    const first = await Invoice.open(100, path);
    first.add(charge(1, { outcome: 'cut', nanoUsd: 9_007_199_254_740_993n }));
    first.add(charge(2, { outcome: 'cancelled' }));
    // Not closed: what a killed process leaves behind.
    const second = await Invoice.open(100, path);
    second.add(charge(3));
    const third = await Invoice.open(100, path);
    expect([...third.lines()]).toEqual([...second.lines()]);
    expect([...third.charges()]).toEqual([
      charge(1, { outcome: 'cut', nanoUsd: 9_007_199_254_740_993n }),
      charge(2, { outcome: 'cancelled' }),
      charge(3),
    ]);
    for (const invoice of [first, second, third]) invoice.close();
  });

  it('cuts away half a line at the end of its file and keeps every whole one', async () => {
    const first = await Invoice.open(100, path);
    first.add(charge(1));
    first.close();
    appendFileSync(path, '{"callId":"torn');
    const second = await Invoice.open(100, path);
    second.add(charge(2));
    second.close();
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(2);
    expect((await Invoice.open(100, path)).count).toBe(2);
  });

  it('refuses a file that is no invoice, with the line', async () => {
    writeFileSync(path, '{"some":"thing"}\n');
    await expect(Invoice.open(100, path)).rejects.toThrow(/line 1 is not an invoice line/);
  });

  it('keeps nothing that the file did not take', async () => {
    const invoice = await Invoice.open(100, '/dev/full');
    expect(() => invoice.add(charge(1))).toThrow(/ENOSPC/);
    expect(invoice.count).toBe(0);
    invoice.close();
  });

  it('keeps every line across pages and says when it is full', async () => {
    const invoice = await Invoice.open(9_000);
    for (let number = 0; number < 9_000; number++) {
      expect(invoice.isFull).toBe(false);
      invoice.add(charge(number));
    }
    expect(invoice.isFull).toBe(true);
    const document = invoiceDocument('p', invoice);
    expect(document.lines).toHaveLength(9_000);
    expect(document.lines[8_999]).toMatchObject({
      callId: 'call-8999',
      clientRequestId: 'client-8999',
      inputTokens: 8_999,
    });
    expect(document.totalNanoUsd).toBe(String((8_999 * 9_000) / 2));
  });

  it('has the period that was asked for: lines that ended from `from` until before `to`', async () => {
    const invoice = await Invoice.open(10);
    for (const number of [1, 2, 3]) invoice.add(charge(number));
    const document = invoiceDocument('p', invoice, { fromMs: 2_500, toMs: 3_500 });
    expect(document).toMatchObject({
      provider: 'p',
      currency: 'USD',
      from: '1970-01-01T00:00:02.500Z',
      to: '1970-01-01T00:00:03.500Z',
      totalNanoUsd: '2',
    });
    expect(document.lines.map(({ callId }) => callId)).toEqual(['call-2']);
    expect(invoiceDocument('p', invoice)).toMatchObject({
      from: '1970-01-01T00:00:01.000Z',
      to: '1970-01-01T00:00:03.500Z',
    });
  });

  it('is the same as JSON in pieces, and empty when nothing was charged', async () => {
    const invoice = await Invoice.open(10);
    const json = (): unknown => JSON.parse([...invoiceJson('p', invoice, {})].join(''));
    expect(json()).toEqual({ provider: 'p', currency: 'USD', lines: [], from: null, to: null, totalNanoUsd: '0' });
    invoice.add(charge(1));
    invoice.add(charge(2));
    expect(json()).toEqual(invoiceDocument('p', invoice));
  });

  it('quotes what CSV must quote', async () => {
    const invoice = await Invoice.open(10);
    invoice.add(charge(1, { model: 'a,b', clientRequestId: 'say "hi"', nanoUsd: 412_000n }));
    expect([...invoiceCsv(invoice, {})].join('').split('\r\n')).toEqual([
      'callId,clientRequestId,model,startedAt,endedAt,inputTokens,cachedInputTokens,cacheWriteTokens,outputTokens,requests,usd,nanoUsd,outcome',
      'call-1,"say ""hi""","a,b",1970-01-01T00:00:01.000Z,1970-01-01T00:00:01.500Z,1,2,3,4,1,0.000412000,412000,completed',
      '',
    ]);
  });
});
