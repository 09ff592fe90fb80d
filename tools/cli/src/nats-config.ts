import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MeritorderConfig } from '@meritorder/contracts';
import { natsServerConfig, natsUsers, passwordNames, type NatsServerSettings } from '@meritorder/messaging';

/** Passwords by NATS user; while one is replaced, the user's second name too (`passwordNames`). The newest is last. */
export type NatsPasswords = Record<string, string>;

/**
 * The passwords in a secrets file; users with neither one nor an NKey get a random one, which is added to the file (mode 0600).
 * @throws Error when the file is not a JSON object of strings.
 */
export function natsPasswords(config: MeritorderConfig, file: string): NatsPasswords {
  const known: NatsPasswords = existsSync(file) ? readSecrets(file) : {};
  const missing = natsUsers(config).filter((u) => !newestPassword(known, u.user) && !config.nats.nkeys[u.user]);
  if (missing.length === 0) return known;
  for (const { user } of missing) known[user] = newPassword();
  writeSecrets(file, known);
  return known;
}

/** What a user is to connect with: the password that was made last. Undefined: it has none. */
export function newestPassword(passwords: NatsPasswords, user: string): { user: string; password: string } | undefined {
  const name = Object.keys(passwords).findLast((n) => passwordNames(user).includes(n) && passwords[n]);
  return name === undefined ? undefined : { user: name, password: passwords[name]! };
}

/**
 * Makes a second password for a user. Both are valid until {@link retirePassword}.
 * @throws Error when there are two already, or no such user.
 */
export function rotatePassword(config: MeritorderConfig, file: string, user: string): void {
  const known = passwordsOf(config, file, user);
  const free = passwordNames(user).find((name) => !known[name]);
  if (!free) throw new Error(`"${user}" has two passwords already; retire the older one first`);
  delete known[free];
  known[free] = newPassword();
  writeSecrets(file, known);
}

/**
 * Forgets the older of two passwords; the only one too, where the user has an NKey.
 * @throws Error when nothing else would let the user in, or no such user.
 */
export function retirePassword(config: MeritorderConfig, file: string, user: string): void {
  const known = passwordsOf(config, file, user);
  const names = Object.keys(known).filter((n) => passwordNames(user).includes(n) && known[n]);
  if (names.length === 0) throw new Error(`"${user}" has no password`);
  if (names.length === 1 && !config.nats.nkeys[user])
    throw new Error(
      `"${user}" has this password alone; make another (--rotate), or give it an NKey (nats.nkeys) first`,
    );
  delete known[names[0]!];
  writeSecrets(file, known);
}

function passwordsOf(config: MeritorderConfig, file: string, user: string): NatsPasswords {
  if (!natsUsers(config).some((u) => u.user === user))
    throw new Error(`"${user}" is no NATS user of this configuration`);
  return natsPasswords(config, file);
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

function writeSecrets(file: string, passwords: NatsPasswords): void {
  mkdirSync(dirname(file), { recursive: true });
  replaceFile(file, `${JSON.stringify(passwords, null, 2)}\n`, 0o600);
}

/** A reader sees the old text or the new one. */
function replaceFile(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode });
  renameSync(`${file}.new`, file);
}

function readSecrets(file: string): NatsPasswords {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (parsed && typeof parsed === 'object' && Object.values(parsed).every((v) => typeof v === 'string'))
      return parsed as NatsPasswords;
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`);
  }
  throw new Error(`${file} must be a JSON object: NATS user to password`);
}

/**
 * Writes `nats.conf` into a folder, and for each user with a password the files `users/USER` and `passwords/USER`: the name and
 * the password to connect with.
 */
export function writeNatsConfig(
  config: MeritorderConfig,
  outDir: string,
  secretsFile: string,
  settings: NatsServerSettings,
): void {
  const passwords = natsPasswords(config, secretsFile);
  const users = natsUsers(config);
  const text = natsServerConfig(users, passwords, { nkeys: config.nats.nkeys, tls: config.nats.tls, ...settings });
  for (const folder of ['users', 'passwords']) mkdirSync(join(outDir, folder), { recursive: true });
  replaceFile(join(outDir, 'nats.conf'), text, 0o640);
  for (const { user } of users) {
    const newest = newestPassword(passwords, user);
    for (const [folder, value] of [
      ['users', newest?.user],
      ['passwords', newest?.password],
    ] as const) {
      const file = join(outDir, folder, user);
      if (value === undefined) rmSync(file, { force: true });
      else replaceFile(file, `${value}\n`, 0o640);
    }
  }
}
