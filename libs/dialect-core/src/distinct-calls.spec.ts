import { describe, expect, it } from 'vitest';
import { DistinctCalls, TranslationError } from './index.js';

type Any = Record<string, any>;
const call = (index: number | undefined, id: string | undefined, name: string, args = '{}'): Any => ({
  ...(index === undefined ? {} : { index }),
  ...(id === undefined ? {} : { id }),
  function: { ...(name === '' ? {} : { name }), arguments: args },
});
const chunk = (calls: Any[], choice = 0): Any => ({ choices: [{ index: choice, delta: { tool_calls: calls } }] });
/** By the clients' rule: pieces of one index are of one call. */
const indexes = (pieces: Any[], calls = new DistinctCalls()): unknown[] =>
  pieces.map((piece) => (calls.of(chunk([piece])) as Any)['choices'][0].delta.tool_calls[0].index);

describe('calls of one answer with indexes of their own', () => {
  it.each<[string, Any[], unknown[]]>([
    ['all with the index 0 (Ollama)', [call(0, 'a', 'f'), call(0, 'b', 'g'), call(0, 'c', 'f')], [0, 1, 2]],
    [
      'in pieces, the later ones without an id, or with an empty one',
      [call(0, 'a', 'f', '{'), call(0, undefined, '', '}'), call(0, 'b', 'g', '{'), call(0, '', '', '}')],
      [0, 0, 1, 1],
    ],
    [
      'with id and name in every piece, in turn',
      [call(0, 'a', 'f'), call(0, 'a', 'f'), call(0, 'b', 'g'), call(0, 'a', 'f'), call(0, 'b', 'g')],
      [0, 0, 1, 0, 1],
    ],
    ['and a right index that was given away', [call(0, 'a', 'f'), call(0, 'b', 'g'), call(1, 'c', 'h')], [0, 1, 2]],
    ['after a right one', [call(0, 'a', 'f'), call(1, 'b', 'g'), call(0, 'c', 'h'), call(0, '', '')], [0, 1, 2, 2]],
  ])('%s', (_what, pieces, expected) => {
    expect(indexes(pieces)).toEqual(expected);
  });

  it('two in one chunk, of each choice for itself', () => {
    const calls = new DistinctCalls();
    expect(calls.of(chunk([call(0, 'a', 'f'), call(0, 'b', 'g')], 1))).toEqual(
      chunk([call(0, 'a', 'f'), call(1, 'b', 'g')], 1),
    );
    const first = chunk([call(0, 'c', 'f')], 0);
    expect(calls.of(first)).toBe(first);
  });

  it.each<[string, Any[]]>([
    ['of indexes that are right', [call(0, 'a', 'f'), call(1, 'b', 'g'), call(0, undefined, ''), call(1, '', '')]],
    ['of a call whose rest has another id', [call(0, 'a', 'f', ''), call(0, 'b', '', '{'), call(0, 'b', '', '}')]],
    ['of a call that gets its id late', [call(0, undefined, 'f', ''), call(0, 'a', 'f', '{}')]],
    ['without indexes', [call(undefined, 'a', 'f'), call(undefined, 'b', 'g')]],
    ['with indexes of no use', [call(-1, 'a', 'f'), call(0.5, 'b', 'g'), call(5_000, 'c', 'h'), call(5_000, 'd', 'h')]],
  ])('chunks %s are passed on as they are', (_what, pieces) => {
    const calls = new DistinctCalls();
    for (const one of pieces.map((piece) => chunk([piece]))) expect(calls.of(one)).toBe(one);
  });

  it.each<Any>([
    {},
    { choices: 1 },
    { choices: [null, 1, {}, { delta: { tool_calls: 1 } }, { delta: { tool_calls: [null, 1] } }] },
  ])('%j is passed on as it is', (odd) => {
    expect(new DistinctCalls().of(odd)).toBe(odd);
  });

  it('more than any answer has are an error, never two in one', () => {
    const pieces = Array.from({ length: 1_025 }, (_, i) => call(0, `c-${i}`, 'f'));
    expect(() => indexes(pieces)).toThrow(TranslationError);
  });
});
