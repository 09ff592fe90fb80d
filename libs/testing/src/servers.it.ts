import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { runs } from './data-folder.js';
import {
  assertPortFree,
  serverCacheDir,
  startNats,
  startPostgres,
  startRedis,
  testServers,
  UNSAFE_POSTGRES,
} from './index.js';
import { postgresUser } from './postgres-user.js';

/** What only root can meet is no test for others: registered for root alone, so that nothing is reported as skipped. */
function onlyForRoot(name: string, run: () => Promise<void>): void {
  if (process.getuid?.() === 0) it(name, run);
}

const servers = testServers();
afterAll(() => servers.stop());

const lines: string[] = [];
const at = (name: string) => ({
  cacheDir: serverCacheDir(),
  dataDir: servers.folder(name),
  log: (line: string) => void lines.push(line),
});

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client(url);
  // A server that is killed under it ends the connection.
  client.on('error', () => {});
  await client.connect();
  try {
    return Object.values((await client.query(sql)).rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}

async function tell(url: string, ...command: [string, ...string[]]): Promise<unknown> {
  const client = new Redis(url);
  try {
    return await client.call(...command);
  } finally {
    client.disconnect();
  }
}

const PROGRAM = { NATS: 'nats-server', Redis: 'redis-server', Postgres: 'postgres' };
const START = { NATS: startNats, Redis: startRedis, Postgres: startPostgres };
const each = Object.entries(START) as [keyof typeof START, typeof startPostgres][];
const database = { database: 'books', args: UNSAFE_POSTGRES };
/** Only Postgres takes its kind of arguments. */
const extra = (name: string) => (name === 'Postgres' ? database : ({} as typeof database));

describe.each(each)('%s', (name, start) => {
  it('gives its own pid, and its port is closed after stop', async () => {
    const server = await start({ ...at(`pid-${name}`), ...extra(name) });
    expect(runs(server.pid, PROGRAM[name])).toBe(true);
    await server.stop();
    await server.stop();
    expect(runs(server.pid, PROGRAM[name])).toBe(false);
    await assertPortFree(server.port, name, 'nothing');
  });

  it('says that a port it was given is in use, and what to set', async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    const { port } = other.address() as AddressInfo;
    await expect(start({ ...at(`taken-${name}`), ...extra(name), port })).rejects.toThrow(
      new Error(`port ${port} for ${name} is in use; set MERITORDER_${name.toUpperCase()}_PORT to another port`),
    );
    await new Promise((done) => other.close(done));
  });

  it('refuses a data folder that another server runs on', async () => {
    const server = await start({ ...at(`shared-${name}`), ...extra(name) });
    await expect(start({ ...at(`shared-${name}`), ...extra(name) })).rejects.toThrow(
      `is in use by ${PROGRAM[name]} (process ${server.pid}`,
    );
    await server.stop();
  });

  it('listens on no other address of this machine', async () => {
    const server = await start({ ...at(`local-${name}`), ...extra(name) });
    const others = Object.values(networkInterfaces())
      .flatMap((i) => i ?? [])
      .filter((i) => !i.internal && i.family === 'IPv4');
    for (const { address } of others) {
      const free = createServer();
      await new Promise<void>((done, fail) => free.once('error', fail).listen(server.port, address, done));
      await new Promise((done) => free.close(done));
    }
    await server.stop();
  });
});

describe('NATS', () => {
  it('has JetStream, whose streams survive kill -9 and restart', async () => {
    const nats = await servers.nats();
    const request = async (subject: string, body: object | ''): Promise<Record<string, unknown>> => {
      const nc = await connect({ servers: nats.url });
      const reply = await nc.request(`$JS.API.${subject}`, body === '' ? '' : JSON.stringify(body));
      await nc.close();
      return reply.json();
    };
    await request('STREAM.CREATE.facts', { name: 'facts', subjects: ['facts.>'], storage: 'file' });
    await nats.kill();
    await nats.restart();
    expect(await request('STREAM.INFO.facts', '')).toMatchObject({ config: { name: 'facts' } });
  });

  it('takes a configuration, but neither its address nor its port', async () => {
    const nats = await servers.nats((port) => `listen: "0.0.0.0:${port + 1}"\nserver_name: mine\nmax_payload: 4096\n`);
    const nc = await connect({ servers: nats.url });
    expect(nc.info).toMatchObject({
      server_name: 'mine',
      host: '127.0.0.1',
      port: nats.port,
      max_payload: 4096,
      jetstream: true,
    });
    await nc.close();
  });

  it('leaves the streams to a configuration that places them', async () => {
    const nats = await servers.nats(
      (port, store) => `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${store}-mine" }\n`,
    );
    expect(existsSync(`${join(nats.dataDir, 'jetstream')}-mine/jetstream`)).toBe(true);
    expect(existsSync(join(nats.dataDir, 'jetstream'))).toBe(false);
  });

  it('runs from a configuration file of the caller, and without JetStream', async () => {
    const configFile = servers.folder('callers.conf');
    writeFileSync(configFile, 'server_name: theirs\n');
    const nats = await servers.nats({ configFile, jetstream: false });
    const nc = await connect({ servers: nats.url });
    expect(nc.info).toMatchObject({ server_name: 'theirs' });
    expect(nc.info?.jetstream).not.toBe(true);
    await nc.close();
  });

  it('says in one line what it did not like in its configuration', async () => {
    await expect(servers.nats({ config: 'no_such_option: [' })).rejects.toThrow(
      /^nats-server ended at its start: .*nats\.log$/,
    );
  });
});

describe('Redis', () => {
  it('evicts nothing and forgets all with a restart', async () => {
    const redis = await servers.redis();
    expect(await tell(redis.url, 'CONFIG', 'GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
    await tell(redis.url, 'SET', 'a', '1');
    await redis.restart();
    expect(await tell(redis.url, 'GET', 'a')).toBe(null);
  });

  it('remembers when told to', async () => {
    const redis = await servers.redis({ appendOnly: true, args: ['--appendfsync', 'always'] });
    await tell(redis.url, 'SET', 'a', '1');
    await redis.kill();
    await redis.restart();
    expect(await tell(redis.url, 'GET', 'a')).toBe('1');
  });
});

describe('Postgres', () => {
  it('keeps what was committed through kill -9, at once and again', async () => {
    const postgres = await servers.postgres();
    await ask(postgres.url, 'create table t(a int)');
    for (let n = 1; n <= 5; n++) {
      const busy = ask(postgres.url, 'select pg_sleep(30)').catch(() => 'cut');
      await ask(postgres.url, 'insert into t values (1)');
      await postgres.kill();
      await postgres.restart();
      expect(await busy).toBe('cut');
      expect(await ask(postgres.url, 'select count(*)::int from t')).toBe(n);
    }
  });

  it('starts again although the pid it left behind belongs to another process now', async () => {
    const postgres = await servers.postgres();
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore', ...postgresUser() });
    await postgres.kill();
    const file = join(postgres.dataDir, 'pgdata', 'postmaster.pid');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^\d+/, String(stranger.pid)));
    await postgres.restart();
    expect(await ask(postgres.url, 'select 1')).toBe(1);
    stranger.kill();
  });

  it('gives each test a database of its own', async () => {
    const postgres = await servers.postgres();
    const [one, two] = await Promise.all(['one', 'Two "quoted"'].map((name) => postgres.createDatabase(name)));
    await ask(one!, 'create table t()');
    expect(await ask(two!, "select count(*)::int from pg_tables where tablename = 't'")).toBe(0);
    expect(await ask(two!, 'select current_database()')).toBe('Two "quoted"');
  });

  it('sorts by code point and knows letters', async () => {
    const postgres = await servers.postgres();
    expect(
      await ask(
        postgres.url,
        `select lower('É') || (select string_agg(x, '' order by x) from unnest('{a,B}'::text[]) x)`,
      ),
    ).toBe('éBa');
  });

  it('asks for its password, and says so when the folder was made with another', async () => {
    const place = { ...at('password'), ...database, user: 'owner' };
    const postgres = await startPostgres({ ...place, password: 'p@ss/word' });
    expect(await ask(postgres.url, 'select current_user::text')).toBe('owner');
    await expect(ask(postgres.url.replace('p%40ss%2Fword', 'wrong'), 'select 1')).rejects.toThrow('password');
    await postgres.stop();
    await expect(startPostgres({ ...place, password: 'other' })).rejects.toThrow('was made with another password');
    await expect(startPostgres(place)).rejects.toThrow('was made with another password');
  });

  onlyForRoot('goes elsewhere, and says so, when its user cannot enter the folder', async () => {
    mkdirSync(servers.folder('closed'), { mode: 0o700 });
    const place = { ...at('closed/postgres'), ...database };
    const postgres = await startPostgres(place);
    try {
      expect(await ask(postgres.url, 'select 1')).toBe(1);
      expect(lines).toContain(
        `the user who runs Postgres cannot enter ${place.dataDir}; its data is in ${postgres.dataDir}`,
      );
      expect(execFileSync('readlink', [join(place.dataDir, 'elsewhere')], { encoding: 'utf8' }).trim()).toBe(
        postgres.dataDir,
      );
    } finally {
      await postgres.stop();
      rmSync(postgres.dataDir, { recursive: true, force: true });
    }
  });
});
