import {
  EventSubscriber,
  type DataSource,
  type EntityManager,
  type EntitySubscriberInterface,
  type TransactionCommitEvent,
} from 'typeorm';

const listeners = new WeakMap<DataSource, Map<string, () => void>>();
/** Under this name a query runner carries whose outbox its transaction wrote to. */
const OWNERS = 'outboxOwners';

/**
 * Calls `committed` whenever this process has committed something into the outbox of `owner`. What other processes put there is not
 * heard of, so a relay looks by itself as well.
 */
export function onOutboxCommit(source: DataSource, owner: string, committed: () => void): void {
  const of = listeners.get(source) ?? new Map<string, () => void>();
  listeners.set(source, of.set(owner, committed));
}

/** The transaction of this manager wrote to the outbox of `owner`. */
export function noteOutboxWrite({ queryRunner, dataSource }: EntityManager, owner: string): void {
  if (!queryRunner?.isTransactionActive) return listeners.get(dataSource)?.get(owner)?.();
  ((queryRunner.data[OWNERS] ??= new Set<string>()) as Set<string>).add(owner);
}

@EventSubscriber()
export class OutboxCommits implements EntitySubscriberInterface {
  afterTransactionCommit({ dataSource, queryRunner }: TransactionCommitEvent): void {
    for (const owner of (queryRunner.data[OWNERS] as Set<string> | undefined) ?? [])
      listeners.get(dataSource)?.get(owner)?.();
  }
}
