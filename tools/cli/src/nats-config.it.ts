import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, nkeyAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import { connectBus, natsCredentials, natsUsers, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import { testServers, waitFor, type RunningServer } from '@meritorder/testing';
import { retirePassword, rotatePassword, writeNatsConfig } from './nats-config.js';
import { writeNKey, writeNKeys } from './nats-nkey.js';

const servers = testServers();
const out = servers.folder('generated');
const secrets = join(out, 'secrets.json');
const seed = (name: string): string => join(out, `${name}.nk`);
const config = {
  orgs: [{ id: 'acme', subscribers: [] }],
  backends: [{ id: 'gpt', kind: 'cloud' }],
  nats: { nkeys: {} as Record<string, string[]> },
} as unknown as MeritorderConfig;
let server: RunningServer;

beforeAll(async () => {
  mkdirSync(out, { recursive: true });
  write();
  server = await servers.nats({ configFile: join(out, 'nats.conf') });
});
afterAll(() => servers.stop());

const write = (): void => writeNatsConfig(config, out, secrets, { listen: '127.0.0.1:0', storeDir: join(out, 'js') });

/** What an operator does after every change. */
async function reload(): Promise<void> {
  write();
  const reloads = (): number => readFileSync(server.logFile, 'utf8').split('Reloaded server configuration').length;
  const before = reloads();
  process.kill(server.pid, 'SIGHUP');
  await waitFor(() => reloads() > before, 'the server to have read its configuration again');
}

const environment = {
  NATS_USER_FILE: join(out, 'users', 'router'),
  NATS_PASSWORD_FILE: join(out, 'passwords', 'router'),
};
const router = (env: NodeJS.ProcessEnv): Promise<Bus> =>
  connectBus({
    url: server.url,
    credentials: () => natsCredentials(env),
    name: 'router',
    inboxPrefix: SERVICE_INBOX.router,
  });
const withPassword = (user: string, pass: string): Promise<NatsConnection> =>
  connect({ servers: server.url, user, pass, reconnect: false });
const once = async (nats: NatsConnection, type: string): Promise<void> => {
  for await (const status of nats.status()) if (status.type === type) return;
};
const text = (folder: string, user: string): string => readFileSync(join(out, folder, user), 'utf8').trim();
const works = async (bus: Bus): Promise<void> => {
  await bus.nats.flush();
  expect(bus.connected()).toBe(true);
};

describe('rotation of a password', () => {
  it('both are valid until the old one is retired; then its connection is closed, and a service goes on with the new one', async () => {
    const old = { user: text('users', 'router'), pass: text('passwords', 'router') };
    const service = await router(environment);
    const statuses: string[] = [];
    void (async () => {
      for await (const status of service.nats.status()) statuses.push(status.type);
    })();

    rotatePassword(config, secrets, 'router');
    await reload();
    expect(text('users', 'router')).toBe('router.2');
    const stale = await withPassword(old.user, old.pass);
    const fresh = await withPassword(text('users', 'router'), text('passwords', 'router'));
    await stale.flush();
    await works(service);
    expect(statuses).toEqual([]);
    expect(() => rotatePassword(config, secrets, 'router')).toThrow('"router" has two passwords already');

    retirePassword(config, secrets, 'router');
    await reload();
    await stale.closed();
    await waitFor(() => statuses.includes('reconnect'), 'the service to be back');
    await works(service);
    await fresh.flush();
    expect(fresh.isClosed()).toBe(false);
    await expect(withPassword(old.user, old.pass)).rejects.toThrow(/authorization/i);

    // Once more: back to the first name, and a service that was refused once has not given up.
    rotatePassword(config, secrets, 'router');
    await reload();
    expect(text('users', 'router')).toBe('router');
    retirePassword(config, secrets, 'router');
    await reload();
    await fresh.closed();
    await waitFor(() => statuses.filter((s) => s === 'reconnect').length === 2, 'the service to be back again');
    await works(service);
    await service.close();
  });

  it('the only credential of a user is not retired, and of a user there is not neither is made', () => {
    expect(() => retirePassword(config, secrets, 'router')).toThrow('"router" has this password alone');
    expect(() => rotatePassword(config, secrets, 'nobody')).toThrow('"nobody" is no NATS user');
  });

  it('a service that is refused is not connected, and is again once its file has what is valid', async () => {
    const own = { user: join(out, 'own-user'), password: join(out, 'own-password') };
    const copy = (): void => {
      copyFileSync(join(out, 'users', 'router'), own.user);
      copyFileSync(join(out, 'passwords', 'router'), own.password);
    };
    copy();
    const service = await router({ NATS_USER_FILE: own.user, NATS_PASSWORD_FILE: own.password });
    rotatePassword(config, secrets, 'router');
    retirePassword(config, secrets, 'router');
    await reload();
    await waitFor(() => !service.connected(), 'the service to be refused');
    rmSync(own.password);
    copy();
    await waitFor(() => service.connected(), 'the service to be back');
    await works(service);
    await service.close();
  });
});

describe('NKeys', () => {
  it('a seed lets a service in where its public key is configured, and has its permissions alone', async () => {
    config.nats.nkeys['router'] = [writeNKey(seed('router-a'))];
    await reload();
    expect(statSync(seed('router-a')).mode & 0o777).toBe(0o600);
    const service = await router({ NATS_NKEY_SEED_FILE: seed('router-a') });
    await works(service);
    const refused: string[] = [];
    void (async () => {
      for await (const s of service.nats.status()) if (s.type === 'error') refused.push(s.error.message);
    })();
    service.nats.publish('metering.reconcile.v1', 'x');
    await waitFor(() => refused.some((r) => r.includes('metering.reconcile.v1')), 'the refusal');
    await service.close();
  });

  it('a user with an NKey may lose its last password, and none is made up for it again', async () => {
    retirePassword(config, secrets, 'router');
    await reload();
    expect(readFileSync(join(out, 'nats.conf'), 'utf8')).not.toContain('user: "router');
    expect(() => text('passwords', 'router')).toThrow('ENOENT');
    const service = await router({ NATS_NKEY_SEED: readFileSync(seed('router-a'), 'utf8').trim() });
    await works(service);
    await service.close();
  });

  it('an app of an org rotates its NKey without closing: two are valid, then the old one is removed', async () => {
    let current = seed('acme-a');
    const [first, second] = [writeNKey(seed('acme-a')), writeNKey(seed('acme-b'))];
    config.nats.nkeys['org-acme'] = [first];
    await reload();
    const service = await router({ NATS_NKEY_SEED_FILE: seed('router-a') });
    service.nats.subscribe('inference.request.v1.acme', {
      callback: (_error, m) => void m.respond(JSON.stringify({ choices: [] })),
    });
    await service.nats.flush();
    const asOrg = (file: () => string, more: object): Promise<NatsConnection> =>
      connect({
        servers: server.url,
        inboxPrefix: '_INBOX_acme',
        authenticator: nkeyAuthenticator(() => new TextEncoder().encode(readFileSync(file(), 'utf8').trim())),
        ...more,
      });
    const app = await asOrg(() => current, { reconnectTimeWait: 20, ignoreAuthErrorAbort: true });
    const oldOne = await asOrg(() => seed('acme-a'), { reconnect: false });
    const ask = async (nats: NatsConnection): Promise<object> =>
      (await nats.request('inference.request.v1.acme')).json();
    expect(await ask(app)).toEqual({ choices: [] });

    config.nats.nkeys['org-acme'] = [first, second];
    await reload();
    current = seed('acme-b');
    expect(await ask(oldOne)).toEqual({ choices: [] });
    expect(await ask(app)).toEqual({ choices: [] });

    const back = once(app, 'reconnect');
    config.nats.nkeys['org-acme'] = [second];
    await reload();
    await oldOne.closed();
    // What is asked on a connection that is being closed is lost.
    await back;
    expect(await ask(app)).toEqual({ choices: [] });
    await app.close();
    await service.close();
  });

  it('of every user are made at once, and made once: a configuration with them needs no password', () => {
    const folder = servers.folder('seeds');
    const made = writeNKeys(config, folder);
    expect(Object.keys(made)).toEqual(natsUsers(config).map((u) => u.user));
    expect(writeNKeys(config, folder)).toEqual(made);
    expect(statSync(join(folder, 'operator')).mode & 0o777).toBe(0o600);
    const own = join(folder, 'conf');
    const settings = { listen: '127.0.0.1:0', storeDir: own };
    writeNatsConfig({ ...config, nats: { nkeys: made } }, own, join(own, 'secrets.json'), settings);
    expect(readFileSync(join(own, 'nats.conf'), 'utf8')).not.toContain('password');
    writeFileSync(join(folder, 'operator'), 'SUNONE');
    expect(() => writeNKeys(config, folder)).toThrow(`${join(folder, 'operator')} holds no seed of an NKey`);
  });

  it('what is no seed, no public key or no user is said by name before anybody is locked out', async () => {
    await expect(router({ NATS_NKEY_SEED: 'SUNONE' })).rejects.toThrow('NATS_NKEY_SEED is no seed of an NKey');
    await expect(router({ NATS_PASSWORD_FILE: join(out, 'none') })).rejects.toThrow(
      /NATS_PASSWORD_FILE names .*ENOENT/,
    );
    const broken = (nkeys: Record<string, string[]>) => () =>
      writeNatsConfig({ ...config, nats: { nkeys } } as MeritorderConfig, out, secrets, { listen: '', storeDir: '' });
    expect(broken({ router: [`U${'A'.repeat(55)}`] })).toThrow('of the NATS user "router" is no public NKey');
    expect(broken({ 'org-globex': [writeNKey(seed('globex'))] })).toThrow('names "org-globex", who is no NATS user');
    expect(() => writeNKey(seed('globex'))).toThrow('EEXIST');
  });
});
