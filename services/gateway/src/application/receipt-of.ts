import type { Receipt } from '@meritorder/contracts';

type HasReceipt = { meritorder?: Receipt; [more: string]: unknown };

const RECEIPT = '"meritorder":{';

/**
 * The receipt of an answer. Workers write it last, so it is read without reading a long answer; a quotation mark inside a JSON
 * text has a backslash, so what is found is a field. @throws SyntaxError when the answer is not JSON.
 */
export function receiptOf(body: Buffer): Receipt | undefined {
  const at = body.lastIndexOf(RECEIPT);
  if (at === -1) return undefined;
  try {
    return JSON.parse(body.toString('utf8', at + RECEIPT.length - 1, body.lastIndexOf('}'))) as Receipt;
  } catch {
    return (JSON.parse(body.toString('utf8')) as HasReceipt).meritorder;
  }
}

/** What of it is said in HTTP headers. */
export function receiptHeaders(receipt: Receipt | undefined): Record<string, string> {
  if (!receipt) return {};
  return {
    'x-meritorder-backend': receipt.backend,
    'x-meritorder-attempts': String(receipt.attempts.length),
    'x-meritorder-cost-usd': receipt.cost.usd,
    'x-meritorder-cost-basis': receipt.cost.basis,
  };
}
