import type { SelectorKey } from '../internal/budget-definition.v1.js';

interface Named {
  orgs: readonly { id: string; departments: readonly string[] }[];
  backends: readonly { id: string; provider: string; model: string }[];
  joins: readonly { provider: string; model?: string | undefined }[];
  tiers: readonly { id: string; orgs?: readonly string[] | undefined }[];
}

/** What a budget may select by, of the attributes whose values are known beforehand. */
export interface SelectorNames {
  /** In words what the value is not; undefined: it may be one. A budget by a name that nobody has would never bind. */
  unknown(key: SelectorKey, value: string, org: string | undefined): string | undefined;
}

export function selectorNames({ orgs, backends, joins, tiers }: Named): SelectorNames {
  const departments = new Map(orgs.map(({ id, departments: own }) => [id, new Set(own)]));
  const backendIds = new Set(backends.map(({ id }) => id));
  const providers = new Set([...backends, ...joins].map(({ provider }) => provider));
  const models = new Set([...backends, ...joins].map(({ model }) => model));
  const tiersOf = (org: string): string[] =>
    tiers.filter(({ orgs: only }) => only?.includes(org) ?? true).map(({ id }) => id);
  const isTier = (value: string, org: string): boolean => {
    const of = tiersOf(org);
    // Of an org without tiers the attribute is a name like any other.
    return of.length === 0 || of.includes(value);
  };
  return {
    unknown(key, value, org) {
      const among = org === undefined ? [...departments.keys()] : [org];
      const whose = org === undefined ? 'of any org' : 'of this org';
      switch (key) {
        case 'org':
          return departments.has(value) ? undefined : 'an org';
        case 'backend':
          return backendIds.has(value) ? undefined : 'a backend';
        case 'provider':
          return providers.has(value) ? undefined : 'the provider of any backend';
        case 'model':
          // A host may join with any model, where its entry names none.
          return models.has(value) || models.has(undefined) ? undefined : 'the model of any backend';
        case 'department':
          return among.some((id) => departments.get(id)?.has(value)) ? undefined : `a department ${whose}`;
        case 'tier':
          return among.some((id) => isTier(value, id)) ? undefined : `a tier ${whose}`;
        default:
          return undefined;
      }
    },
  };
}
