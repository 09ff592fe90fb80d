import { createHash } from 'node:crypto';
import {
  ATTRIBUTION_KEYS,
  type Attribution,
  type AttributionKey,
  type KeyConfig,
  type MeritorderConfig,
  type OrgConfig,
  type Refusal,
} from '@meritorder/contracts';

/** Who may ask, prepared for look-up. */
export interface CallerDirectory {
  orgs: ReadonlyMap<string, OrgConfig>;
  /** By hex SHA-256 of the key: a key is never kept in clear. */
  keys: ReadonlyMap<string, { org: string; key: KeyConfig }>;
}

/**
 * @param secretOf reads a key from the environment or a file.
 * @throws Error naming the variable when a key's secret is missing.
 */
export function callerDirectory(
  config: MeritorderConfig,
  secretOf: (name: string) => string | undefined,
): CallerDirectory {
  const keys = new Map<string, { org: string; key: KeyConfig }>();
  for (const org of config.orgs) {
    for (const key of org.keys) {
      let digest = key.sha256;
      if (digest === undefined) {
        const secret = secretOf(key.secretEnv!);
        if (!secret)
          throw new Error(
            `the key ${org.id}/${key.id} needs ${key.secretEnv} or ${key.secretEnv}_FILE in the environment`,
          );
        digest = sha256(secret);
      }
      keys.set(digest, { org: org.id, key });
    }
  }
  return { orgs: new Map(config.orgs.map((org) => [org.id, org])), keys };
}

/**
 * Who is asking and to whom the cost belongs: the subject gives the org, the key binds, `metadata` may narrow, never widen.
 */
export function resolveCaller(
  directory: CallerDirectory,
  org: string,
  presentedKey: string | undefined,
  metadata: Record<string, string> | null | undefined,
): { attribution: Attribution; org: OrgConfig } | Refusal {
  const orgConfig = directory.orgs.get(org);
  if (!orgConfig) return { code: 'org_unknown', message: `The org "${org}" is not configured.` };
  let key: KeyConfig | undefined;
  if (presentedKey) {
    const found = directory.keys.get(sha256(presentedKey));
    if (!found || found.org !== org)
      return { code: 'key_invalid', message: 'The Meritorder-Key is not a key of this org.' };
    key = found.key;
  } else if (orgConfig.requireKey) {
    return { code: 'key_required', message: 'This org asks for a Meritorder-Key header.' };
  }
  const attribution: Attribution = { org, ...(key ? { key: key.id } : {}) };
  for (const name of ATTRIBUTION_KEYS) {
    const bound: string | undefined = key?.[name as keyof KeyConfig];
    const asked = metadata?.[name];
    if (bound !== undefined && asked !== undefined && asked !== bound) {
      return {
        code: 'attribution_conflict',
        message: `metadata.${name} is "${asked}", but the key is bound to "${bound}".`,
        param: `metadata.${name}`,
      };
    }
    const value = bound ?? asked;
    if (value !== undefined) attribution[name satisfies AttributionKey] = value;
  }
  const { department } = attribution;
  if (department !== undefined && !orgConfig.departments.includes(department)) {
    const known = orgConfig.departments.slice(0, 20).join(', ') || 'none';
    return {
      code: 'department_unknown',
      message: `The org has no department "${department}"; it has: ${known}.`,
      param: 'metadata.department',
    };
  }
  return { attribution, org: orgConfig };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
