import { canonicalJson } from '@meritorder/kernel';
import { BudgetThresholdCrossedV1, subjects, thresholdEventId, type BudgetDefinition } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';
import { BudgetEntity } from './entities/budget.entity.js';
import { putOutbox } from './outbox.js';

/**
 * Brings the stored budgets in line with the wanted ones. A changed limit or changed thresholds raise the limit version, which
 * arms the thresholds again; a budget that is no longer wanted is retired. Returns the definitions in force.
 */
export async function applyBudgets(
  source: DataSource,
  wanted: readonly Omit<BudgetDefinition, 'limitVersion'>[],
): Promise<BudgetDefinition[]> {
  return inTransaction(source, async (manager) => {
    const repository = manager.getRepository(BudgetEntity);
    await manager.query(`lock table budget in share row exclusive mode`);
    const known = new Map((await repository.find()).map((e) => [e.id, e]));
    const inForce = wanted.map((budget): BudgetDefinition => {
      const before = known.get(budget.id);
      const armed = (d: Omit<BudgetDefinition, 'limitVersion'>): string =>
        canonicalJson([d.limitNanos, d.thresholds, d.basis, d.window, d.timeZone]);
      const version = !before ? 1 : before.limitVersion + (armed(before.definition) === armed(budget) ? 0 : 1);
      return { ...budget, limitVersion: version };
    });
    await repository.save(
      inForce.map((definition) => ({
        id: definition.id,
        definition,
        limitVersion: definition.limitVersion,
        retired: false,
      })),
      { chunk: 500 },
    );
    const ids = new Set(inForce.map((b) => b.id));
    const gone = [...known.keys()].filter((id) => !ids.has(id));
    if (gone.length > 0) await manager.query(`update budget set retired = true where id = any($1)`, [gone]);
    return inForce;
  });
}

/** Records crossings that are not recorded yet, with their events, in one transaction. Returns how many were new. */
export async function recordCrossings(
  source: DataSource,
  crossings: readonly BudgetThresholdCrossedV1[],
): Promise<number> {
  if (crossings.length === 0) return 0;
  return inTransaction(source, async (manager) => {
    let fresh = 0;
    for (const event of crossings) {
      const rows: unknown[] = await manager.query(
        `insert into threshold_crossing (budget, window_id, threshold, limit_version, crossed_at) values ($1, $2, $3, $4, $5)
         on conflict do nothing returning budget`,
        [event.budget, event.window, event.threshold, event.limitVersion, event.crossedAt],
      );
      if (rows.length === 0) continue;
      fresh++;
      await putOutbox(manager, 'budget-policy', [
        {
          type: 'budget.threshold-crossed.v1',
          subject: subjects.budgetThresholdCrossed(event.org, event.budget),
          messageId: thresholdEventId(event),
          body: event,
          occurredAt: event.crossedAt,
        },
      ]);
    }
    return fresh;
  });
}
