export type Json = Readonly<Record<string, unknown>>;

/** What a dialect calls each count: dotted paths inside its block, the first that is there counts. */
export type FieldPaths<Name extends string> = Readonly<Record<Name, readonly (readonly string[])[]>>;

export function fieldPaths<Name extends string>(paths: Readonly<Record<Name, readonly string[]>>): FieldPaths<Name> {
  return Object.fromEntries(
    Object.entries<readonly string[]>(paths).map(([name, list]) => [name, list.map((path) => path.split('.'))]),
  ) as unknown as FieldPaths<Name>;
}

/**
 * The fields of the blocks that a call has sent so far. The last writer of a field wins and nothing is ever added up: blocks of
 * a stream are cumulative, whoever sums them counts twice. Holds one value a field, however long the stream.
 */
export class LatestFields<Name extends string> {
  private readonly values = new Map<Name, unknown>();

  constructor(private readonly paths: FieldPaths<Name>) {}

  /** For a block that says a part: its fields overwrite, the others stay. Null is not a value. */
  overwrite(block: Json): void {
    for (const name in this.paths) {
      for (const path of this.paths[name]) {
        const value = at(block, path);
        if (value === undefined || value === null) continue;
        this.values.set(name, value);
        break;
      }
    }
  }

  /** For a block that says everything: what it leaves out is not there any more. */
  replace(block: Json): void {
    this.values.clear();
    this.overwrite(block);
  }

  raw(name: Name): unknown {
    return this.values.get(name);
  }

  /** A count, or undefined when it was not sent or is none (then `corrupt` names it). */
  count(name: Name): number | undefined {
    return countOf(this.values.get(name));
  }

  /** The fields of those asked for that were sent and are not counts: negative, fractions, text, objects. */
  corrupt(names: readonly Name[]): Name[] {
    return names.filter((name) => this.values.has(name) && this.count(name) === undefined);
  }
}

export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

export function objectOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A text that says something, at most 256 characters of it. */
export function nameOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, 256) : undefined;
}

function at(block: Json, path: readonly string[]): unknown {
  let value: unknown = block;
  for (const key of path) {
    const inner = objectOf(value);
    if (!inner || !Object.hasOwn(inner, key)) return undefined;
    value = inner[key];
  }
  return value;
}
