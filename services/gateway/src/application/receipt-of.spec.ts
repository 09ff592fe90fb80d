import { expect, it } from 'vitest';
import { receiptHeaders, receiptOf } from './receipt-of.js';

const RECEIPT = {
  backend: 'b',
  attempts: [{}, {}],
  cost: { usd: '0.0004', basis: 'estimated' },
  reason: 'it says "meritorder":{ and ünïcode }',
};
const read = (answer: object | string) =>
  receiptOf(Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer)));

it.each<[string, object]>([
  ['last', { id: 'x', text: 'a "meritorder":{"backend":"no"}', meritorder: RECEIPT }],
  ['first', { meritorder: RECEIPT, id: 'x' }],
  ['between others of its name', { deep: { meritorder: { a: 1 } }, meritorder: RECEIPT, more: { meritorder: {} } }],
])('the receipt is found where it is %s', (_where, answer) => {
  expect(read(answer)).toEqual(RECEIPT);
});

it('an answer without one has none', () => {
  expect(read({ id: 'x', text: '"meritorder":{' })).toBeUndefined();
  expect(read('')).toBeUndefined();
  expect(receiptHeaders(undefined)).toEqual({});
});

it('what an answer cost is said in headers', () => {
  expect(receiptHeaders(RECEIPT as never)).toEqual({
    'x-meritorder-backend': 'b',
    'x-meritorder-attempts': '2',
    'x-meritorder-cost-usd': '0.0004',
    'x-meritorder-cost-basis': 'estimated',
  });
});
