import { BudgetThresholdCrossedV1, subjects, thresholdEventId } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';
import { putOutbox } from './outbox.js';

/** Records crossings that are not recorded yet, with their events, in one transaction. Returns how many were new. */
export async function recordCrossings(
  source: DataSource,
  crossings: readonly BudgetThresholdCrossedV1[],
): Promise<number> {
  if (crossings.length === 0) return 0;
  return inTransaction(source, async (manager) => {
    const sorted = crossings.toSorted((a, b) => (thresholdEventId(a) < thresholdEventId(b) ? -1 : 1));
    const rows: { budget: string; window_id: string; threshold: string; limit_version: number }[] = await manager.query(
      `insert into threshold_crossing (budget, window_id, threshold, limit_version, crossed_at)
       select * from unnest($1::text[], $2::text[], $3::numeric[], $4::int[], $5::timestamptz[])
       on conflict do nothing returning budget, window_id, threshold, limit_version`,
      [
        sorted.map((e) => e.budget),
        sorted.map((e) => e.window),
        sorted.map((e) => e.threshold),
        sorted.map((e) => e.limitVersion),
        sorted.map((e) => e.crossedAt),
      ],
    );
    const fresh = new Set(
      rows.map((r) =>
        thresholdEventId({
          budget: r.budget,
          window: r.window_id,
          threshold: Number(r.threshold),
          limitVersion: r.limit_version,
        }),
      ),
    );
    await putOutbox(
      manager,
      'budget-policy',
      crossings
        .filter((event) => fresh.has(thresholdEventId(event)))
        .map((event) => ({
          type: 'budget.threshold-crossed.v1' as const,
          subject: subjects.budgetThresholdCrossed(event.org, event.budget),
          messageId: thresholdEventId(event),
          body: event,
          occurredAt: event.crossedAt,
        })),
    );
    return fresh.size;
  });
}
