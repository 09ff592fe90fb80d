import type { PriceVersion } from '@meritorder/contracts';
import { subjects } from '@meritorder/contracts';
import type { BookEntry, HoldReason, Intake } from '@meritorder/pricing-core';
import type { DataSource, EntityManager } from 'typeorm';
import { inTransaction } from './database.js';
import { PriceVersionEntity } from './entities/price-version.entity.js';
import { putOutbox } from './outbox.js';

/** How long after a late price attempts may still be closed at the one they were reserved at. */
const CORRECTION_OPEN = `interval '2 hours'`;

/** The book of one backend or of all, oldest first. */
export async function priceBook(source: DataSource | EntityManager, backend?: string): Promise<PriceVersionEntity[]> {
  return source.getRepository(PriceVersionEntity).find({
    ...(backend === undefined ? {} : { where: { backend } }),
    order: { effectiveFrom: 'ASC', sequence: 'ASC' },
  });
}

/** Every version that was ever written down, held ones too: what was rated by a version stays explicable. */
export async function priceVersions(source: DataSource): Promise<PriceVersion[]> {
  return (await priceBook(source)).map((e) => e.definition);
}

/** Versions that reservations may use, by backend; of the same instant the later in the book last. */
export async function publishedPrices(source: DataSource): Promise<Map<string, PriceVersion[]>> {
  const byBackend = new Map<string, PriceVersion[]>();
  for (const entity of await priceBook(source)) {
    if (entity.status !== 'accepted' || entity.withdrawn) continue;
    const list = byBackend.get(entity.backend) ?? [];
    list.push(entity.definition);
    byBackend.set(entity.backend, list);
  }
  return byBackend;
}

/** What `takeIntoBook` plans from, for a look that changes nothing. */
export async function bookOf(source: DataSource, backend: string): Promise<BookEntry[]> {
  return (await priceBook(source, backend)).map(entryOf);
}

/**
 * Takes proposals for one backend into the book, one taker at a time.
 * @param plan decides, from what is in the book.
 * @returns what was held, and what was accepted.
 */
export async function takeIntoBook(
  source: DataSource,
  backend: string,
  plan: (book: BookEntry[]) => Intake,
): Promise<Intake> {
  return inTransaction(source, async (manager) => {
    await manager.query(`select pg_advisory_xact_lock(7261302)`);
    const intake = plan((await priceBook(manager, backend)).map(entryOf));
    for (const { entry, reasons } of intake.insert) await insert(manager, entry, reasons);
    if (intake.withdraw.length > 0)
      await manager.query(`update price_version set withdrawn = true where id = any($1)`, [intake.withdraw]);
    if (intake.restore.length > 0) await restore(manager, intake.restore);
    return intake;
  });
}

export class PriceDecisionError extends Error {
  override readonly name = 'PriceDecisionError';
}

/**
 * A person's word on a held price. Confirmed, it acts from the instant it says, also in the past.
 * @throws PriceDecisionError when it is not held.
 */
export async function decideHeldPrice(
  source: DataSource,
  id: string,
  decision: 'accepted' | 'rejected',
  by: string,
): Promise<PriceVersion> {
  return inTransaction(source, async (manager) => {
    await manager.query(`select pg_advisory_xact_lock(7261302)`);
    const entity = await manager.getRepository(PriceVersionEntity).findOneBy({ id });
    if (!entity) throw new PriceDecisionError(`there is no price version ${id}`);
    if (entity.status === decision) return entity.definition;
    if (entity.status !== 'held' || entity.withdrawn)
      throw new PriceDecisionError(`${id} is not held: it is ${entity.withdrawn ? 'withdrawn' : entity.status}`);
    await manager.query(`update price_version set status = $2, decided_by = $3, decided_at = now() where id = $1`, [
      id,
      decision,
      by,
    ]);
    if (decision === 'accepted') await accepted(manager, entity.definition);
    return entity.definition;
  });
}

function entryOf(entity: PriceVersionEntity): BookEntry {
  return {
    version: entity.definition,
    digest: entity.digest,
    derived: entity.derived,
    word: entity.word ?? undefined,
    origin: entity.origin,
    status: entity.status,
    withdrawn: entity.withdrawn,
  };
}

async function insert(manager: EntityManager, entry: BookEntry, reasons: readonly HoldReason[]): Promise<void> {
  const { version } = entry;
  await manager
    .createQueryBuilder()
    .insert()
    .into(PriceVersionEntity)
    .values({
      id: version.id,
      backend: version.backend,
      effectiveFrom: new Date(version.effectiveFrom),
      model: version.model ?? null,
      definition: version,
      digest: entry.digest,
      derived: entry.derived,
      word: entry.word ?? null,
      origin: entry.origin,
      status: entry.status,
      reasons: [...reasons],
      withdrawn: false,
    })
    .execute();
  if (entry.status === 'accepted') await accepted(manager, version);
  else
    await putOutbox(manager, 'metering', [
      {
        type: 'price.version-held.v1',
        subject: subjects.priceVersionHeld(),
        messageId: `${version.id}/held`,
        body: { version, reasons, heldAt: new Date().toISOString() },
        occurredAt: new Date().toISOString(),
      },
    ]);
}

/**
 * What an operator says again acts from the instant it says, as when it was first said: what was rated by another price since is
 * looked at again. A catalogue's earlier price moves nothing that was rated.
 */
async function restore(manager: EntityManager, ids: readonly string[]): Promise<void> {
  await manager.query(`update price_version set withdrawn = false where id = any($1)`, [ids]);
  await manager.query(
    `insert into price_correction (price_version, backend, model, since, until)
     select id, backend, model, effective_from, now() + ${CORRECTION_OPEN} from price_version
     where id = any($1) and status = 'accepted' and not derived and effective_from < now()
     on conflict (price_version) do update set until = excluded.until, scanned = false`,
    [ids],
  );
}

/** Tells the world, and looks again at what was rated since the price began to act. */
async function accepted(manager: EntityManager, version: PriceVersion): Promise<void> {
  const occurredAt = new Date().toISOString();
  await putOutbox(manager, 'metering', [
    {
      type: 'price.version-published.v1',
      subject: subjects.priceVersionPublished(),
      messageId: version.id,
      body: { version, publishedAt: occurredAt },
      occurredAt,
    },
  ]);
  await manager.query(
    `insert into price_correction (price_version, backend, model, since, until)
     select $1, $2, $3, $4::timestamptz, now() + ${CORRECTION_OPEN} where $4::timestamptz < now()
     on conflict do nothing`,
    [version.id, version.backend, version.model ?? null, version.effectiveFrom],
  );
}
