import type { EngineTimings, Usage } from '@meritorder/contracts';
import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';

/** What an engine said of one attempt. */
export interface TimedAttempt {
  timings: EngineTimings;
  usage: Usage | undefined;
  concurrency: number | undefined;
}

/** How fast a backend is, as JSON that only the fit understands. */
export interface StoredFit {
  backend: string;
  state: unknown;
  /** The state that prices rest on, and since when; null before the first. */
  priced: unknown;
  pricedAt: Date | null;
}

export async function storedFits(source: DataSource): Promise<Map<string, StoredFit>> {
  const rows: StoredFit[] = await source.query(
    `select backend, state, priced, priced_at as "pricedAt" from hardware_fit order by backend`,
  );
  return new Map(rows.map((r) => [r.backend, r]));
}

/**
 * Shows a backend's booked timings to its fit, each attempt exactly once and in the order it was booked.
 * @param fold the state after these attempts; pure.
 * @returns how many attempts were seen.
 */
export async function learnSpeeds(
  source: DataSource,
  backend: string,
  limit: number,
  fold: (state: unknown, attempts: TimedAttempt[]) => unknown,
): Promise<number> {
  return inTransaction(source, async (manager) => {
    await manager.query(`insert into hardware_fit (backend) values ($1) on conflict do nothing`, [backend]);
    // One learner at a time: the state is the result of all before.
    const [fit]: { state: unknown }[] = await manager.query(
      `select state from hardware_fit where backend = $1 for update`,
      [backend],
    );
    const rows: { timings: (EngineTimings & { concurrency?: number }) | null; usage: Usage | null }[] =
      await manager.query(
        `with seen as (
           update host_usage set learned = true where (attempt_id, revision) in (
             select attempt_id, revision from host_usage where backend = $1 and not learned
             order by recorded_at, attempt_id limit $2 for update)
           returning attempt_id, recorded_at
         )
         select a.timings, a.usage from seen join attempt a using (attempt_id) order by seen.recorded_at, a.attempt_id`,
        [backend, limit],
      );
    const timed = rows.flatMap(({ timings, usage }) =>
      timings ? [{ timings, usage: usage ?? undefined, concurrency: timings.concurrency }] : [],
    );
    if (timed.length > 0)
      await manager.query(`update hardware_fit set state = $2 where backend = $1`, [
        backend,
        JSON.stringify(fold(fit!.state, timed)),
      ]);
    return rows.length;
  });
}

/** From now on prices rest on this state; undefined: on what is configured. */
export async function keepPricedFit(source: DataSource, backend: string, state: unknown): Promise<void> {
  await source.query(
    `insert into hardware_fit (backend, priced, priced_at) values ($1, $2, now())
     on conflict (backend) do update set priced = excluded.priced, priced_at = excluded.priced_at`,
    [backend, state === undefined ? null : JSON.stringify(state)],
  );
}
