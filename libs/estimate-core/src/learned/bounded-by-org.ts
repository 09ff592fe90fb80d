/**
 * Values by org and key, bounded in number: an org that has its share loses what it used longest ago, and when all is full, the
 * org that holds most does. So no org can push out what another learned, but for its own excess.
 */
export interface BoundedByOrg<V> {
  /** The value, which counts as used now. */
  get(org: string, key: string): V | undefined;
  set(org: string, key: string, value: V): void;
  orgs(): Iterable<string>;
  /** The least recently used first. */
  entries(org: string): Iterable<[string, V]>;
  /** All of an org. */
  forget(org: string): void;
  /** Whether any org may still set as many as its share, and nobody loses anything. */
  readonly hasRoom: boolean;
  readonly size: number;
}

export interface Limits {
  readonly perOrg: number;
  readonly total: number;
}

export function boundedByOrg<V>(limits: Limits): BoundedByOrg<V> {
  const orgs = new Map<string, Map<string, V>>();
  let size = 0;

  const forgetOne = (org: string): void => {
    const own = orgs.get(org);
    const oldest = own?.keys().next();
    if (own === undefined || oldest === undefined || oldest.done) return;
    own.delete(oldest.value);
    size--;
    if (own.size === 0) orgs.delete(org);
  };
  const largest = (): string => {
    let most = 0;
    let found = '';
    for (const [org, own] of orgs) {
      if (own.size > most) {
        most = own.size;
        found = org;
      }
    }
    return found;
  };
  return {
    get(org, key) {
      const own = orgs.get(org);
      const value = own?.get(key);
      if (own === undefined || value === undefined) return undefined;
      own.delete(key);
      own.set(key, value);
      return value;
    },
    set(org, key, value) {
      let own = orgs.get(org);
      if (own?.delete(key)) size--;
      if (own !== undefined && own.size >= limits.perOrg) forgetOne(org);
      if (size >= limits.total) forgetOne(largest());
      own = orgs.get(org);
      if (own === undefined) orgs.set(org, (own = new Map()));
      own.set(key, value);
      size++;
    },
    orgs: () => orgs.keys(),
    entries: (org) => orgs.get(org)?.entries() ?? [],
    forget(org) {
      size -= orgs.get(org)?.size ?? 0;
      orgs.delete(org);
    },
    get hasRoom() {
      return size + limits.perOrg <= limits.total;
    },
    get size() {
      return size;
    },
  };
}
