import 'reflect-metadata';
import { DataSource, type EntityManager } from 'typeorm';
import { ApiKeyEntity } from './entities/api-key.entity.js';
import { AttemptEntity } from './entities/attempt.entity.js';
import { BudgetEntity } from './entities/budget.entity.js';
import { LedgerEntryEntity } from './entities/ledger-entry.entity.js';
import { PriceVersionEntity } from './entities/price-version.entity.js';
import { WindowSpendEntity } from './entities/window-spend.entity.js';
import { Books1764000000000 } from './migrations/1764000000000-books.js';
import { PriceBook1764200000000 } from './migrations/1764200000000-price-book.js';
import { Hardware1764300000000 } from './migrations/1764300000000-hardware.js';
import { Budgets1764400000000 } from './migrations/1764400000000-budgets.js';
import { Pacing1764500000000 } from './migrations/1764500000000-pacing.js';
import { Decisions1764600000000 } from './migrations/1764600000000-decisions.js';
import { Hedges1764700000000 } from './migrations/1764700000000-hedges.js';
import { Charges1764705000000 } from './migrations/1764705000000-charges.js';
import { ApiKeys1764710000000 } from './migrations/1764710000000-api-keys.js';
import { KeptResponses1764720000000 } from './migrations/1764720000000-kept-responses.js';
import { OutboxCommits } from './outbox-commits.js';

const MIGRATIONS = [
  Books1764000000000,
  PriceBook1764200000000,
  Hardware1764300000000,
  Budgets1764400000000,
  Pacing1764500000000,
  Decisions1764600000000,
  Hedges1764700000000,
  Charges1764705000000,
  ApiKeys1764710000000,
  KeptResponses1764720000000,
];
const RETRYABLE = new Set(['40001', '40P01']);
const TRIES = 8;

/** Connects to the books. The schema is checked, not changed. @throws Error with one line that says what to do. */
export async function connectDatabase(url: string, application: string, poolSize = 8): Promise<DataSource> {
  const source = await open(url, application, poolSize);
  if (await source.showMigrations()) {
    await source.destroy();
    throw new Error(
      'the database has an older schema than this version needs; run the migration step first (meritorder migrate)',
    );
  }
  return source;
}

/** Brings the schema up to date; the one step that changes it. Returns the names of what was run. */
export async function migrate(url: string): Promise<string[]> {
  const source = await open(url, 'meritorder-migrate', 1);
  try {
    // Two of them at once wait for each other.
    await source.query(`select pg_advisory_lock(7261301)`);
    const run = await source.runMigrations({ transaction: 'each' });
    return run.map((m) => m.name);
  } finally {
    await source.destroy();
  }
}

async function open(url: string, application: string, poolSize: number): Promise<DataSource> {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKeyEntity, AttemptEntity, BudgetEntity, LedgerEntryEntity, PriceVersionEntity, WindowSpendEntity],
    migrations: MIGRATIONS,
    subscribers: [OutboxCommits],
    synchronize: false,
    logging: false,
    poolSize,
    applicationName: application,
    connectTimeoutMS: 5_000,
    extra: { statement_timeout: 30_000, idle_in_transaction_session_timeout: 60_000 },
  });
  try {
    return await source.initialize();
  } catch (error) {
    throw new Error(
      `cannot use Postgres at ${url.replace(/:[^:@/]*@/, ':***@')}: ${(error as Error).message || (error as { code?: string }).code}; check DATABASE_URL`,
    );
  }
}

/** A transaction, repeated when Postgres asks for it (deadlock, serialization). */
export async function inTransaction<T>(source: DataSource, run: (manager: EntityManager) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await source.transaction(run);
    } catch (error) {
      if (attempt >= TRIES || !RETRYABLE.has(sqlState(error))) throw error;
      await new Promise((r) => setTimeout(r, 5 * 2 ** attempt));
    }
  }
}

/** Whether Postgres refused the values themselves (class 22, such as a NUL in a text): trying again cannot help. */
export function isRefusedData(error: unknown): boolean {
  return sqlState(error).startsWith('22');
}

function sqlState(error: unknown): string {
  const { driverError, code } = error as { code?: string; driverError?: { code?: string } };
  return driverError?.code ?? code ?? '';
}
