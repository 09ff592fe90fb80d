import type { NatsTlsConfig } from '@meritorder/contracts';
import { nkeys } from '@nats-io/transport-node';
import type { NatsUser } from './nats-permissions.js';

export interface NatsServerSettings {
  listen: string;
  storeDir: string;
  /** `host:port` of the monitoring endpoint. */
  monitor?: string | undefined;
  serverName?: string | undefined;
  tls?: NatsTlsConfig | undefined;
  /** Public NKeys by user. */
  nkeys?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** `max_payload`: the largest message of the public surface (design, section 5). */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

/** The NATS account of all services, with the streams. */
export const SERVICE_ACCOUNT = 'MERITORDER';

/** The most that the headers of a request may have, which the server counts as payload. */
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * The names under which a user may have a password. The server knows one password per name, so that a second one, valid while
 * the first is replaced, has a second name. No org's user ends like that: ids have no dot.
 */
export function passwordNames(user: string): readonly [string, string] {
  return [user, `${user}.2`];
}

/**
 * The nats-server configuration of a deployment: an account of the services, and one per org. A message crosses from one to the
 * other where an org's permissions name its subject, as a stream, so that its reply subject stays what it is (ADR 17).
 * @param passwords by {@link passwordNames}.
 * @throws Error naming the user that could not connect, or whose NKey is none.
 */
export function natsServerConfig(
  users: NatsUser[],
  passwords: Readonly<Record<string, string>>,
  settings: NatsServerSettings,
): string {
  for (const name of Object.keys(settings.nkeys ?? {}))
    if (!users.some((u) => u.user === name)) throw new Error(`nats.nkeys names "${name}", who is no NATS user`);
  const entriesOf = (user: NatsUser): string[] => credentialEntries(user, passwords, settings.nkeys?.[user.user] ?? []);
  const orgs = users.filter((u) => u.org);
  const services = users.filter((u) => !u.org);
  const known = new Map<string, string[]>();
  for (const { user, subscribe } of orgs)
    for (const subject of subscribe) known.set(subject, [...(known.get(subject) ?? []), user]);
  const serviceAccount = account(SERVICE_ACCOUNT, {
    settings: ['jetstream: enabled'],
    users: services.flatMap(entriesOf),
    exports: [...known].map(([subject, accounts]) => `{ stream: ${quoted(subject)}, accounts: ${list(accounts)} }`),
    imports: orgs.flatMap((org) => org.publish.map((subject) => imported(org.user, subject))),
  });
  const orgAccounts = orgs.map((org) =>
    account(org.user, {
      settings: limitsOf(org),
      users: entriesOf(org),
      exports: org.publish.map((subject) => `{ stream: ${quoted(subject)}, accounts: ${list([SERVICE_ACCOUNT])} }`),
      imports: org.subscribe.map((subject) => imported(SERVICE_ACCOUNT, subject)),
    }),
  );
  return `# Generated from meritorder.yaml; changes are overwritten.
listen: ${quoted(settings.listen)}
server_name: ${quoted(settings.serverName ?? 'meritorder')}
${settings.monitor ? `http: ${quoted(settings.monitor)}\n` : ''}max_payload: ${MAX_PAYLOAD_BYTES}
max_pending: 67108864
write_deadline: "10s"
jetstream { store_dir: ${quoted(settings.storeDir)} }
${tlsSection(settings.tls)}authorization { timeout: 5 }
accounts {
${[serviceAccount, ...orgAccounts].join('\n')}
}
`;
}

const quoted = (text: string): string => JSON.stringify(text);
const list = (texts: readonly string[]): string => `[${[...new Set(texts)].map(quoted).join(', ')}]`;
const imported = (from: string, subject: string): string =>
  `{ stream: { account: ${quoted(from)}, subject: ${quoted(subject)} } }`;

function account(
  name: string,
  parts: { settings: string[]; users: string[]; exports: string[]; imports: string[] },
): string {
  const lists = (['users', 'exports', 'imports'] as const).map(
    (part) => `    ${part}: [\n      ${parts[part].join(',\n      ')}\n    ]`,
  );
  return [`  ${quoted(name)} {`, ...parts.settings.map((s) => `    ${s}`), ...lists, '  }'].join('\n');
}

/** The server counts headers as payload. */
function limitsOf({ org }: NatsUser): string[] {
  if (!org) return [];
  const { limits } = org;
  const payload = limits.bodyBytes === undefined ? '' : `, max_payload: ${limits.bodyBytes + MAX_HEADER_BYTES}`;
  return [
    `limits { max_connections: ${limits.connections}, max_subscriptions: ${limits.subscriptionsPerConnection}${payload} }`,
  ];
}

function tlsSection(tls: NatsTlsConfig | undefined): string {
  if (!tls) return '';
  const verify = tls.clientCaFile ? `, ca_file: ${quoted(tls.clientCaFile)}, verify: true` : '';
  return `tls { cert_file: ${quoted(tls.certFile)}, key_file: ${quoted(tls.keyFile)}${verify}, timeout: 5 }\n`;
}

/** One entry per credential, each with all that the user may do. */
function credentialEntries(
  user: NatsUser,
  passwords: Readonly<Record<string, string>>,
  publicKeys: readonly string[],
): string[] {
  const permissions = `permissions: { publish: { allow: ${list(user.publish)} }, subscribe: { allow: ${list(user.subscribe)} } }`;
  const byPassword = passwordNames(user.user)
    .filter((name) => passwords[name])
    .map((name) => `{ user: ${quoted(name)}, password: ${quoted(passwords[name]!)}, ${permissions} }`);
  const byKey = publicKeys.map((key) => `{ nkey: ${publicNKey(key, user.user)}, ${permissions} }`);
  if (byPassword.length + byKey.length === 0)
    throw new Error(`no password and no NKey for the NATS user "${user.user}"`);
  return [...byPassword, ...byKey];
}

function publicNKey(key: string, user: string): string {
  try {
    nkeys.fromPublic(key);
  } catch {
    throw new Error(`"${key}" of the NATS user "${user}" is no public NKey: its checksum is wrong`);
  }
  return key;
}
