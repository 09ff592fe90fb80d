import { readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import { connectBus, natsCredentials, natsTls, SERVICE_INBOX, type Bus } from '@meritorder/messaging';
import { makeCertificates, testServers, waitFor, type RunningServer, type TestCertificates } from '@meritorder/testing';
import { writeNatsConfig } from './nats-config.js';

const servers = testServers();
let ours: TestCertificates;
let others: TestCertificates;
let server: RunningServer;
let asking: RunningServer;
let open: RunningServer;

beforeAll(async () => {
  ours = makeCertificates(servers.folder('ours'));
  others = makeCertificates(servers.folder('others'));
  server = await start('plain', ours.server);
  asking = await start('asking', { ...ours.server, clientCaFile: ours.caFile });
  open = await start('open', undefined);
});
afterAll(() => servers.stop());

async function start(name: string, tls: MeritorderConfig['nats']['tls']): Promise<RunningServer> {
  const config = { orgs: [{ id: 'acme', subscribers: [] }], backends: [], nats: { nkeys: {}, tls } };
  const out = servers.folder(name);
  writeNatsConfig(config as unknown as MeritorderConfig, out, servers.folder('secrets.json'), {
    listen: '127.0.0.1:0',
    storeDir: join(out, 'js'),
  });
  return servers.nats({ configFile: join(out, 'nats.conf') });
}

const service = (to: RunningServer, env: NodeJS.ProcessEnv): Promise<Bus> =>
  connectBus({
    url: to.url,
    credentials: () =>
      natsCredentials({
        NATS_USER: 'router',
        NATS_PASSWORD_FILE: join(servers.folder('plain'), 'passwords', 'router'),
      }),
    tls: natsTls(env),
    name: 'router',
    inboxPrefix: SERVICE_INBOX.router,
  });
const certificate = ({ client }: TestCertificates): NodeJS.ProcessEnv => ({
  NATS_TLS_CERT_FILE: client.certFile,
  NATS_TLS_KEY_FILE: client.keyFile,
});

async function isIn(bus: Promise<Bus>): Promise<void> {
  const connected = await bus;
  await connected.nats.flush();
  await connected.close();
}

it('a service that knows who signed the certificate is let in; one that does not refuses the server', async () => {
  await isIn(service(server, { NATS_TLS_CA_FILE: ours.caFile }));
  const why = /certificate.*check NATS_TLS_CA_FILE/;
  await expect(service(server, { NATS_TLS_CA_FILE: others.caFile })).rejects.toThrow(why);
  await expect(service(server, {})).rejects.toThrow(why);
});

it('an app is let in over TLS, and no one without: what a plain client sends is not read', async () => {
  const password = readFileSync(join(servers.folder('plain'), 'passwords', 'org-acme'), 'utf8').trim();
  const app = await connect({ servers: server.url, user: 'org-acme', pass: password, tls: { caFile: ours.caFile } });
  await app.flush();
  await app.close();

  let said = '';
  const socket = connectSocket(server.port, '127.0.0.1');
  socket.on('data', (data) => (said += data.toString()));
  const ended = new Promise((resolve) => socket.once('close', resolve));
  await waitFor(() => said.includes('INFO'), 'the greeting');
  socket.write(`CONNECT ${JSON.stringify({ user: 'org-acme', pass: password, verbose: false })}\r\nPING\r\n`);
  await ended;
  expect(said).toContain('"tls_required":true');
  expect(said).not.toContain('PONG');
});

it('where certificates of clients are asked for, one without or of another authority is refused', async () => {
  const known = { NATS_TLS_CA_FILE: ours.caFile };
  await isIn(service(asking, { ...known, ...certificate(ours) }));
  const refused = [known, { ...known, ...certificate(others) }].map((env) => service(asking, env));
  for (const result of await Promise.allSettled(refused)) {
    expect(result).toMatchObject({ status: 'rejected' });
    expect(String((result as PromiseRejectedResult).reason)).toContain('takes no certificate of this client: check');
  }
  expect(readFileSync(asking.logFile, 'utf8')).toMatch(/TLS handshake error.*certificate/);
});

it('a service that is to use TLS does not speak to a server without it', async () => {
  await isIn(service(open, {}));
  await expect(service(open, { NATS_TLS_CA_FILE: ours.caFile })).rejects.toThrow(/tls/);
  await expect(service(open, { NATS_URL: 'tls://127.0.0.1:4222' })).rejects.toThrow(/tls/);
});

it('a certificate without its key is said before anything is tried', () => {
  expect(() => natsTls({ NATS_TLS_CERT_FILE: 'x' })).toThrow('are set together or not at all');
  expect(natsTls({ NATS_TLS_CA_FILE: '', NATS_URL: 'nats://127.0.0.1' })).toBeUndefined();
});
