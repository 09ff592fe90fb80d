import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MeritorderConfig } from '@meritorder/contracts';
import { natsServerConfig, natsUsers, type NatsServerSettings } from '@meritorder/messaging';

/** Passwords of NATS users by user name. */
export type NatsPasswords = Record<string, string>;

/**
 * The passwords in a secrets file; users without one get a random one, which is added to the file (mode 0600).
 * @throws Error when the file is not a JSON object of strings.
 */
export function natsPasswords(config: MeritorderConfig, file: string): NatsPasswords {
  const known: NatsPasswords = existsSync(file) ? readSecrets(file) : {};
  const missing = natsUsers(config).filter((u) => !known[u.user]);
  if (missing.length === 0) return known;
  for (const { user } of missing) known[user] = randomBytes(24).toString('base64url');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(known, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return known;
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

/** Writes `nats.conf`, and one file with the password of each user, into a folder. */
export function writeNatsConfig(
  config: MeritorderConfig,
  outDir: string,
  secretsFile: string,
  settings: NatsServerSettings,
): void {
  const passwords = natsPasswords(config, secretsFile);
  const users = natsUsers(config);
  mkdirSync(outDir, { recursive: true });
  writeFileSync(join(outDir, 'nats.conf'), natsServerConfig(users, passwords, settings), { mode: 0o640 });
  mkdirSync(join(outDir, 'passwords'), { recursive: true });
  for (const { user } of users) writeFileSync(join(outDir, 'passwords', user), `${passwords[user]}\n`, { mode: 0o640 });
}
