import { setTimeout as delay } from 'node:timers/promises';

const CONNECT_LIMIT_MS = 10_000;
const WRONG_PASSWORD = '28P01';
const EXISTS_ALREADY = '42P04';

export interface DatabaseLogin {
  user: string;
  password: string | undefined;
  /** Named in the error when the password is not the one of that folder. */
  dataDir: string;
}

/** Creates a database on 127.0.0.1 that does not exist yet. @throws Error with one line. */
export async function ensureDatabase(port: number, database: string, login: DatabaseLogin): Promise<void> {
  const { default: pg } = await import('pg');
  const deadline = Date.now() + CONNECT_LIMIT_MS;
  for (;;) {
    const client = new pg.Client({
      host: '127.0.0.1',
      port,
      user: login.user,
      password: login.password,
      database: 'postgres',
    });
    try {
      await client.connect();
      const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
      if (!rowCount) await client.query(`create database ${pg.escapeIdentifier(database)}`);
      return;
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      if (code === EXISTS_ALREADY) return;
      if (code === WRONG_PASSWORD || /password must be a string|no password/i.test(message)) {
        throw new Error(
          `the Postgres data in ${login.dataDir} was made with another password; give that one, or move the folder away`,
        );
      }
      if (Date.now() > deadline) throw new Error(`cannot create the database ${database}: ${message}`);
      await delay(50);
    } finally {
      await client.end().catch(() => {});
    }
  }
}
