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

/**
 * The names under which a user may have a password. The server knows one password per name, so that a second one, valid while
 * the first is replaced, has a second name. No org's user ends like that: ids have no dot.
 */
export function passwordNames(user: string): readonly [string, string] {
  return [user, `${user}.2`];
}

/**
 * The nats-server configuration of a deployment.
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
  const entries = users.flatMap((user) => entriesOf(user, passwords, settings.nkeys?.[user.user] ?? []));
  return `# Generated from meritorder.yaml; changes are overwritten.
listen: ${JSON.stringify(settings.listen)}
server_name: ${JSON.stringify(settings.serverName ?? 'meritorder')}
${settings.monitor ? `http: ${JSON.stringify(settings.monitor)}\n` : ''}max_payload: ${MAX_PAYLOAD_BYTES}
max_pending: 67108864
write_deadline: "10s"
jetstream { store_dir: ${JSON.stringify(settings.storeDir)} }
${tlsSection(settings.tls)}authorization {
  timeout: 5
  users: [
${entries.join(',\n')}
  ]
}
`;
}

function tlsSection(tls: NatsTlsConfig | undefined): string {
  if (!tls) return '';
  const verify = tls.clientCaFile ? `, ca_file: ${JSON.stringify(tls.clientCaFile)}, verify: true` : '';
  return `tls { cert_file: ${JSON.stringify(tls.certFile)}, key_file: ${JSON.stringify(tls.keyFile)}${verify}, timeout: 5 }\n`;
}

/** One entry per credential, each with all that the user may do. */
function entriesOf(
  user: NatsUser,
  passwords: Readonly<Record<string, string>>,
  publicKeys: readonly string[],
): string[] {
  const list = (subjects: string[]): string => `[${[...new Set(subjects)].map((s) => JSON.stringify(s)).join(', ')}]`;
  const permissions = `permissions: { publish: { allow: ${list(user.publish)} }, subscribe: { allow: ${list(user.subscribe)} } }`;
  const byPassword = passwordNames(user.user)
    .filter((name) => passwords[name])
    .map(
      (name) => `    { user: ${JSON.stringify(name)}, password: ${JSON.stringify(passwords[name])}, ${permissions} }`,
    );
  const byKey = publicKeys.map((key) => `    { nkey: ${publicNKey(key, user.user)}, ${permissions} }`);
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
