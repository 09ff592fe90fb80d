import { invariant } from '@meritorder/kernel';

/** The most servers, or requests at once, that is computed for. */
export const MOST_SERVERS = 10_000;

/**
 * Erlang's loss formula: the chance that all servers are busy where nobody waits. Computed by its recursion
 * `B(k) = a B(k-1) / (k + a B(k-1))`, which adds only positive numbers, so nothing overflows or cancels.
 * @param servers a whole number, 0 to 10,000
 * @param offered arrivals per second x mean service seconds, at least 0; may exceed the servers
 * @throws InvariantError outside these ranges
 */
export function erlangB(servers: number, offered: number): number {
  check(servers, offered);
  let blocked = 1;
  for (let k = 1; k <= servers; k++) blocked = (offered * blocked) / (k + offered * blocked);
  return blocked;
}

/**
 * Erlang's delay formula: the chance that an arrival waits in an M/M/k queue, `C = k B / (k - a (1 - B))`; 1 from an offered
 * load of `servers` upwards, where the queue grows without end.
 */
export function erlangC(servers: number, offered: number): number {
  if (offered >= servers) {
    check(servers, offered);
    return 1;
  }
  const blocked = erlangB(servers, offered);
  return (servers * blocked) / (servers - offered * (1 - blocked));
}

/** Mean seconds that an arrival waits in a steady M/M/k queue: `C s / (k - a)`; Infinity where it is overloaded. */
export function meanWaitSeconds(servers: number, offered: number, meanServiceSeconds: number): number {
  if (offered >= servers) return Infinity;
  return (erlangC(servers, offered) * meanServiceSeconds) / (servers - offered);
}

function check(servers: number, offered: number): void {
  invariant(
    Number.isInteger(servers) && servers >= 0 && servers <= MOST_SERVERS,
    `servers: ${servers} is not 0 to ${MOST_SERVERS}`,
  );
  invariant(offered >= 0 && offered < Infinity, `offered load: ${offered} is not at least 0`);
}
