import type { LimitsConfig, Refusal } from '@meritorder/contracts';

/** Calls in flight at this gateway, all together and by key. */
export class KeySlots {
  private all = 0;
  private readonly byKey = new Map<string, number>();

  constructor(private readonly limits: Pick<LimitsConfig, 'requestsInFlightPerGateway' | 'requestsInFlightPerKey'>) {}

  get inFlight(): number {
    return this.all;
  }

  /** Takes a place, to be given back with the function that is returned. */
  take(org: string, key: string): (() => void) | Refusal {
    const { requestsInFlightPerGateway, requestsInFlightPerKey } = this.limits;
    if (this.all >= requestsInFlightPerGateway)
      return {
        code: 'gateway_overloaded',
        message: `This gateway has ${this.all} requests in flight, its limit.`,
        retryAfterSeconds: 1,
      };
    const name = `${org}/${key}`;
    const own = this.byKey.get(name) ?? 0;
    if (own >= requestsInFlightPerKey)
      return {
        code: 'key_concurrency',
        message: `The key ${key} has ${own} requests in flight at this gateway, the most it may have.`,
        retryAfterSeconds: 1,
      };
    this.all++;
    this.byKey.set(name, own + 1);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.all--;
      const left = this.byKey.get(name)! - 1;
      if (left === 0) this.byKey.delete(name);
      else this.byKey.set(name, left);
    };
  }
}
