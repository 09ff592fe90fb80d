import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import type { MeritorderConfig } from '@meritorder/contracts';
import { natsUsers, publicNKeyOf } from '@meritorder/messaging';

/**
 * Makes an NKey of a user.
 * @returns its public part; the seed is in the file alone (mode 0600).
 * @throws Error when the file exists: a seed is never written over.
 */
export function writeNKey(file: string): string {
  const pair = nkeys.createUser();
  try {
    writeFileSync(file, `${new TextDecoder().decode(pair.getSeed())}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new Error(`${file} cannot be made: ${(error as Error).message}`);
  }
  return pair.getPublicKey();
}

/**
 * A seed for every NATS user of a configuration, in `<folder>/<user>`; those that are there stay.
 * @returns the public parts, as `nats.nkeys` of the configuration has them.
 * @throws Error when the folder cannot be written, or a file in it is no seed.
 */
export function writeNKeys(
  config: Pick<MeritorderConfig, 'orgs' | 'backends' | 'joins'>,
  folder: string,
): Record<string, [string]> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const users = natsUsers({ ...config }).map(({ user }) => user);
  return Object.fromEntries(
    users.map((user) => {
      const file = join(folder, user);
      return [user, [existsSync(file) ? publicPartIn(file) : writeNKey(file)]];
    }),
  );
}

function publicPartIn(file: string): string {
  try {
    return publicNKeyOf(readFileSync(file, 'utf8').trim());
  } catch {
    throw new Error(`${file} holds no seed of an NKey`);
  }
}
