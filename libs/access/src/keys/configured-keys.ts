import type { KeyConfig, MeritorderConfig } from '@meritorder/contracts';
import { digestOf } from './secrets.js';

export interface KnownKey {
  org: string;
  key: KeyConfig;
}

/**
 * The keys of the configuration by the digest of their secrets; no secret is kept.
 * @param secretOf reads a key from the environment or a file.
 * @throws Error naming the key when its secret is missing, or another's too.
 */
export function configuredKeys(
  config: Pick<MeritorderConfig, 'orgs'>,
  secretOf: (name: string) => string | undefined,
): Map<string, KnownKey> {
  const keys = new Map<string, KnownKey>();
  for (const org of config.orgs) {
    for (const key of org.keys) {
      const digest = key.sha256 ?? digestOf(secretOfKey(org.id, key, secretOf));
      const other = keys.get(digest);
      if (other) throw new Error(`the keys ${other.org}/${other.key.id} and ${org.id}/${key.id} have the same secret`);
      keys.set(digest, { org: org.id, key });
    }
  }
  return keys;
}

function secretOfKey(org: string, key: KeyConfig, secretOf: (name: string) => string | undefined): string {
  const secret = secretOf(key.secretEnv!);
  if (!secret)
    throw new Error(`the key ${org}/${key.id} needs ${key.secretEnv} or ${key.secretEnv}_FILE in the environment`);
  return secret;
}
