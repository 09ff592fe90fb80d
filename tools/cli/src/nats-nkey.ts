import { writeFileSync } from 'node:fs';
import { nkeys } from '@nats-io/transport-node';

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
