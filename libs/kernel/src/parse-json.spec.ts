import { expect, it } from 'vitest';
import { parseJson } from './index.js';

it.each([
  '{"id":9007199254740993123}',
  '{"a":[-9223372036854775808,{"maximum":9223372036854775807}],"text":"1234567890123456789"}',
  '{"long":123456789012345678901234567890}',
])('an integer beyond 2^53 is written as it was read: %s', (text) => {
  expect(JSON.stringify(parseJson(text))).toBe(text);
  expect(JSON.stringify({ ...(parseJson(text) as object) })).toBe(text);
});

it('everything else is read as ever, a fraction and an exact integer too', () => {
  const text = '{"a":9007199254740991,"b":0.12345678901234567890,"c":1e300,"d":"12345678901234567"}';
  expect(parseJson(text)).toEqual(JSON.parse(text));
  expect(parseJson('[1,null,true]')).toEqual([1, null, true]);
  expect(() => parseJson('{"id":9007199254740993123')).toThrow(SyntaxError);
});
