/**
 * The JSON of an event or body. One that lacks its last brace is closed: everything inside is whole then, since the text ends
 * with the end of something inside. Any other damage is no event, because a count may be cut in the middle.
 */
export function parseEvent(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    if (!text.trimEnd().endsWith('}')) return undefined;
  }
  try {
    return JSON.parse(`${text}}`) as unknown;
  } catch {
    return undefined;
  }
}
