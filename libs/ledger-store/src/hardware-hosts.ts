import type { DataSource } from 'typeorm';
import { inTransaction } from './database.js';

/**
 * Makes the books know which backend runs on which host. A host's books begin with the hour in which it is first named; a backend
 * that is named no longer stays known, so that its late attempts still belong to its host.
 */
export async function registerHosts(
  source: DataSource,
  hosts: readonly { host: string; backends: readonly string[] }[],
  now: Date,
): Promise<void> {
  const pairs = hosts.flatMap(({ host, backends }) => backends.map((backend) => ({ host, backend })));
  await inTransaction(source, async (manager) => {
    await manager.query(
      `insert into hardware_host (host, books_from) select h, date_trunc('hour', $2::timestamptz, 'UTC') from unnest($1::text[]) as rows(h)
       on conflict do nothing`,
      [hosts.map((h) => h.host).sort(), now],
    );
    const sorted = pairs.toSorted((a, b) => (a.backend < b.backend ? -1 : 1));
    await manager.query(
      `insert into hardware_backend (backend, host) select * from unnest($1::text[], $2::text[])
       on conflict (backend) do update set host = excluded.host`,
      [sorted.map((p) => p.backend), sorted.map((p) => p.host)],
    );
  });
}

/** A stretch of measured energy within one UTC hour. */
export interface MeasuredEnergy {
  messageId: string;
  host: string;
  hour: Date;
  coveredMs: number;
  millijoules: bigint;
  gpuUtilization?: number | undefined;
}

/** Keeps what meters said for the hour's closing; the same message again changes nothing. */
export async function keepMeasuredEnergy(source: DataSource, rows: readonly MeasuredEnergy[]): Promise<void> {
  if (rows.length === 0) return;
  await source.query(
    `insert into host_energy (message_id, hour, host, covered_ms, millijoules, gpu_utilization)
     select * from unnest($1::text[], $2::timestamptz[], $3::text[], $4::int[], $5::bigint[], $6::float8[])
     on conflict do nothing`,
    [
      rows.map((r) => r.messageId),
      rows.map((r) => r.hour),
      rows.map((r) => r.host),
      rows.map((r) => r.coveredMs),
      rows.map((r) => r.millijoules.toString()),
      rows.map((r) => r.gpuUtilization ?? null),
    ],
  );
}
