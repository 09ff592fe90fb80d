type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What no schema expects in most places, and what tends to break whoever parses, counts, stores or prints it. */
const ODD_VALUES: Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  '',
  'x'.repeat(10_000),
  '\u0000\u001f',
  '\ud800',
  '__proto__',
  'constructor',
  '../../etc/passwd',
  'data: x\n\ndata: [DONE]\n\n',
  'acme.>',
  [],
  {},
  [[[[]]]],
  { type: 'text' },
  { __proto__: null, constructor: { prototype: 1 } },
];

/** One mutation of a valid body: of its values, of its form, or of its bytes. */
export function mutated(body: object, random: () => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const value = structuredClone(body) as Json;
  const kind = random();
  if (kind < 0.6) {
    for (let times = 1 + Math.floor(random() * 3); times > 0; times--) changeValue(value, random, pick);
    return Buffer.from(JSON.stringify(value));
  }
  const bytes = Buffer.from(JSON.stringify(value));
  if (kind < 0.7) return bytes.subarray(0, Math.floor(random() * bytes.length));
  if (kind < 0.8) return Buffer.from(bytes.toString().replace(/:/, `:${'['.repeat(Math.floor(random() * 2_000))}`));
  if (kind < 0.9) {
    for (let times = 1 + Math.floor(random() * 4); times > 0; times--)
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    return bytes;
  }
  const at = Math.floor(random() * bytes.length);
  const inserted = Buffer.from(JSON.stringify(pick(ODD_VALUES)));
  return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
}

function changeValue(root: Json, random: () => number, pick: <T>(list: readonly T[]) => T): void {
  const places: [Record<string, Json>, string][] = [];
  const walk = (value: Json): void => {
    if (value === null || typeof value !== 'object') return;
    for (const key of Object.keys(value)) {
      places.push([value as Record<string, Json>, key]);
      walk((value as Record<string, Json>)[key]!);
    }
  };
  walk(root);
  if (places.length === 0) return;
  const [holder, key] = pick(places);
  const what = random();
  if (what < 0.2) delete holder[key];
  else if (what < 0.4) holder[`${key}${pick(['x', ' ', '\u0000', 'é'])}`] = holder[key]!;
  else if (what < 0.5) holder[key] = [holder[key]!, holder[key]!];
  else holder[key] = structuredClone(pick(ODD_VALUES));
}
