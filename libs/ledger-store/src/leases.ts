import type { DataSource } from 'typeorm';

/** What only one process may do. The fence rises with every change of holder. */
export async function acquireLease(
  source: DataSource,
  name: string,
  holder: string,
  ttlMs: number,
): Promise<{ fence: bigint } | undefined> {
  const rows: { fence: string }[] = await source.query(
    `insert into lease (name, holder, fence, expires_at) values ($1, $2, 1, now() + $3 * interval '1 ms')
     on conflict (name) do update set
       fence = lease.fence + case when lease.holder = excluded.holder then 0 else 1 end,
       holder = excluded.holder,
       expires_at = excluded.expires_at
     where lease.holder = excluded.holder or lease.expires_at < now()
     returning fence`,
    [name, holder, ttlMs],
  );
  return rows[0] ? { fence: BigInt(rows[0].fence) } : undefined;
}

export async function releaseLease(source: DataSource, name: string, holder: string): Promise<void> {
  await source.query(`update lease set expires_at = now() where name = $1 and holder = $2`, [name, holder]);
}
