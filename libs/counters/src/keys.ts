/**
 * All keys share one hash tag, since one script touches the budgets of one request, and some budgets span orgs.
 * Counters carry the epoch in their name: what an old epoch left behind can never be counted in a new one.
 */
export const keys = {
  epoch: '{mo}:epoch',
  windows: (epoch: number) => `{mo}:e${epoch}:windows`,
  leases: (epoch: number) => `{mo}:e${epoch}:leases`,
  window: (epoch: number, budget: string, window: string) => `{mo}:e${epoch}:w:${budget}:${window}`,
  hold: (epoch: number, attemptId: string) => `{mo}:e${epoch}:h:${attemptId}`,
  account: (epoch: number, account: string) => `{mo}:e${epoch}:a:${account}`,
  org: (epoch: number, org: string) => `{mo}:e${epoch}:o:${org}`,
  ofEpoch: (epoch: number) => `{mo}:e${epoch}:*`,
  all: '{mo}:e*:*',
};

export function parseWindowKey(key: string): { budget: string; window: string } {
  const [, , , budget, window] = key.split(':');
  return { budget: budget!, window: window! };
}

/** Of a key that `keys.all` matches. */
export function epochOfKey(key: string): number {
  return Number(key.split(':')[1]!.slice(1));
}
