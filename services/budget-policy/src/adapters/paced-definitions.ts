import { INSTANCE_ID } from '@meritorder/contracts';
import { storedBudgets, type StoredBudget } from '@meritorder/ledger-store';
import type { DataSource } from 'typeorm';

const READ_EVERY_MS = 1_000;

/** Definitions of budgets and of instances' templates, as they were at most a second ago. */
export class PacedDefinitions {
  private known = new Map<string, StoredBudget>();
  private asked = new Set<string>();
  private readAtMs = 0;

  constructor(private readonly database: DataSource) {}

  /** By id of the budget or instance; what is not in force is not among them. */
  async of(ids: readonly string[], nowMs: number): Promise<Map<string, StoredBudget>> {
    const names = new Map(ids.map((id) => [id, INSTANCE_ID.exec(id)?.[1] ?? id]));
    const wanted = new Set(names.values());
    if (Math.abs(nowMs - this.readAtMs) >= READ_EVERY_MS || [...wanted].some((name) => !this.asked.has(name))) {
      this.known = await storedBudgets(this.database, [...wanted]);
      this.asked = wanted;
      this.readAtMs = nowMs;
    }
    const found = new Map<string, StoredBudget>();
    for (const [id, name] of names) {
      const stored = this.known.get(name);
      // A template itself counts no money; its instances do.
      if (stored && !stored.retired && (stored.definition.per !== undefined) === (name !== id)) found.set(id, stored);
    }
    return found;
  }
}
