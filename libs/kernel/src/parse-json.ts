/** More digits than a JavaScript number may tell apart: only a text that has so many in a row is read with care. */
const LONG_NUMBER = /\d{16}/;
const INTEGER = /^-?\d+$/;

interface Json {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
}

/**
 * JSON of somebody else's that goes on to somebody else: an integer beyond 2^53 (an id in the input of a tool, the bound of a
 * schema) stays what it says when it is written again by `JSON.stringify`. In between it is an object that only `JSON.isRawJSON`
 * knows, so nothing that counts here reads such a number. What has none is read as ever.
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  const { parse, rawJSON } = JSON as unknown as Json;
  return parse(text, (_key, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && INTEGER.test(source)
      ? rawJSON(source)
      : value,
  );
}
