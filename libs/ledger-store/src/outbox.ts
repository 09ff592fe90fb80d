import type { EventType } from '@meritorder/contracts';
import type { DataSource, EntityManager } from 'typeorm';
import { noteOutboxWrite } from './outbox-commits.js';

/** A fact to publish, written in the transaction that made it one. */
export interface OutboxRow {
  type: EventType;
  subject: string;
  /** The identity of the event; publishing it twice is publishing it once. */
  messageId: string;
  body: unknown;
  occurredAt: string;
  traceparent?: string | undefined;
}

export async function putOutbox(manager: EntityManager, owner: string, rows: readonly OutboxRow[]): Promise<void> {
  if (rows.length === 0) return;
  await manager.query(
    `insert into outbox (owner, type, subject, message_id, body, occurred_at, traceparent)
     select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::text[])`,
    [
      owner,
      rows.map((r) => r.type),
      rows.map((r) => r.subject),
      rows.map((r) => r.messageId),
      rows.map((r) => JSON.stringify(r.body)),
      rows.map((r) => r.occurredAt),
      rows.map((r) => r.traceparent ?? null),
    ],
  );
  noteOutboxWrite(manager, owner);
}

/** How much is waiting to be published, and how long the oldest of it has. */
export async function outboxWaiting(source: DataSource, owner: string): Promise<{ count: number; oldestMs: number }> {
  const [row]: { count: number; oldest: number }[] = await source.query(
    `select count(*)::int as count, coalesce(extract(epoch from now() - min(occurred_at)) * 1000, 0)::float8 as oldest
     from outbox where owner = $1`,
    [owner],
  );
  return { count: row!.count, oldestMs: row!.oldest };
}

/**
 * Publishes what is waiting, oldest first, and forgets what was acknowledged. Rows are locked meanwhile, so several relays
 * share the work. A crash in between publishes rows again with the same identity.
 * @returns how many were published.
 */
export async function relayOutbox(
  source: DataSource,
  owner: string,
  limit: number,
  publish: (row: OutboxRow) => Promise<void>,
): Promise<number> {
  return source.transaction(async (manager) => {
    const rows: {
      id: string;
      type: EventType;
      subject: string;
      message_id: string;
      body: unknown;
      occurred_at: Date;
      traceparent: string | null;
    }[] = await manager.query(`select * from outbox where owner = $1 order by id limit $2 for update skip locked`, [
      owner,
      limit,
    ]);
    if (rows.length === 0) return 0;
    const results = await Promise.allSettled(
      rows.map((r) =>
        publish({
          type: r.type,
          subject: r.subject,
          messageId: r.message_id,
          body: r.body,
          occurredAt: r.occurred_at.toISOString(),
          traceparent: r.traceparent ?? undefined,
        }),
      ),
    );
    const published = rows.filter((_, i) => results[i]!.status === 'fulfilled').map((r) => r.id);
    await manager.query(`delete from outbox where id = any($1::bigint[])`, [published]);
    const failed = results.find((r) => r.status === 'rejected');
    if (published.length === 0 && failed) throw failed.reason;
    return published.length;
  });
}
