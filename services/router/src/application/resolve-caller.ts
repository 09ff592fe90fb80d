import {
  ATTRIBUTION_KEYS,
  type Attribution,
  type AttributionKey,
  type KeyConfig,
  type OrgConfig,
  type Refusal,
} from '@meritorder/contracts';

type BoundName = Extract<AttributionKey, keyof KeyConfig>;

/** Who may ask. */
export interface CallerDirectory {
  orgs: ReadonlyMap<string, OrgConfig>;
  keys: {
    /** Whose key this is, if it is one, now. */
    find(presented: string): { org: string; key: KeyConfig } | undefined;
    /** Why keys that were made at run time are not found at the moment; undefined: all are known. */
    stale(): string | undefined;
  };
}

/**
 * Who is asking and to whom the cost belongs: the subject gives the org, the key binds, `metadata` may narrow, never widen.
 * @returns the org with the routes that are left to the key.
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
    const found = directory.keys.find(presentedKey);
    const stale = found ? undefined : directory.keys.stale();
    if (stale) return { code: 'keys_unavailable', message: `${stale}; try again.`, retryAfterSeconds: 2 };
    if (!found || found.org !== org)
      return { code: 'key_invalid', message: 'The Meritorder-Key is not a valid key of this org.' };
    key = found.key;
  } else if (orgConfig.requireKey) {
    return { code: 'key_required', message: 'This org asks for a Meritorder-Key header.' };
  }
  const attribution: Attribution = { org, ...(key ? { key: key.id } : {}) };
  for (const name of ATTRIBUTION_KEYS) {
    const bound = key?.[name as BoundName];
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
  // What it is served as is what it is budgeted and billed as.
  if (attribution.tier === undefined && orgConfig.defaultTier !== undefined) attribution.tier = orgConfig.defaultTier;
  const { department } = attribution;
  if (department !== undefined && !orgConfig.departments.includes(department)) {
    const known = orgConfig.departments.slice(0, 20).join(', ') || 'none';
    return {
      code: 'department_unknown',
      message: `The org has no department "${department}"; it has: ${known}.`,
      param: 'metadata.department',
    };
  }
  return { attribution, org: narrowed(orgConfig, key?.routes) };
}

/** The org as a key with these routes may use it. */
export function narrowed(org: OrgConfig, routes: readonly string[] | undefined): OrgConfig {
  if (!routes) return org;
  return { ...org, routes: routes.filter((id) => !org.routes || org.routes.includes(id)) };
}
