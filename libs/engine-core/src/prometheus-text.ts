/** The samples of each metric over all its labels: an engine gives one series per model or rank. */
export class PrometheusText {
  private readonly sums = new Map<string, number>();
  private readonly largest = new Map<string, number>();

  /**
   * Text exposition format; lines that are none are skipped.
   * @param model where series are labelled with it, those of other models are not counted
   */
  constructor(text: string, model?: string) {
    const samples = text.split('\n').flatMap((line) => {
      const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?\s+([^\s]+)/.exec(line);
      const value = Number(match?.[3]);
      const of = /[{,]model_name="([^"]*)"/.exec(match?.[2] ?? '')?.[1];
      return match && Number.isFinite(value) ? [{ name: match[1]!, value, of }] : [];
    });
    const labelled = samples.some((s) => s.of === model);
    for (const { name, value, of } of samples) {
      if (model !== undefined && labelled && of !== undefined && of !== model) continue;
      this.sums.set(name, (this.sums.get(name) ?? 0) + value);
      this.largest.set(name, Math.max(this.largest.get(name) ?? -Infinity, value));
    }
  }

  /** The sum of the first of these names that is there. */
  sum(names: readonly string[]): number | undefined {
    return firstOf(this.sums, names);
  }

  /** The same of what does not add up, such as a share: its largest sample. */
  most(names: readonly string[]): number | undefined {
    return firstOf(this.largest, names);
  }

  has(prefix: string): boolean {
    for (const name of this.sums.keys()) if (name.startsWith(prefix)) return true;
    return false;
  }
}

function firstOf(values: ReadonlyMap<string, number>, names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = values.get(name);
    if (value !== undefined) return value;
  }
  return undefined;
}
