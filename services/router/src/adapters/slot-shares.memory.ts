import { askedForSlot, mayTakeSlot, wantedSlots, type SlotDemand, type WantedSlots } from '@meritorder/fleet-core';

type Load = { inFlight: number; capacity: number };

/** What orgs want of each own backend, as this router hears them ask and has them wait; what they have comes from heartbeats. */
export class SlotShares {
  private readonly wanted = new Map<string, Map<string, WantedSlots>>();
  private readonly waiting = new Map<string, Map<string, number>>();

  /** @param weightOf of an org, above 0 */
  constructor(private readonly weightOf: (org: string) => number) {}

  /** Whether a request of an org may go there, and that it asked. @param held slots by org, on all workers of the backend */
  ask(backend: string, org: string, held: ReadonlyMap<string, number>, load: Load, nowMs: number): boolean {
    const may = this.may(backend, org, held, load, nowMs);
    const ofBackend = this.wanted.get(backend) ?? new Map<string, WantedSlots>();
    this.wanted.set(backend, ofBackend);
    const denied = !may || load.inFlight >= load.capacity;
    ofBackend.set(org, askedForSlot(ofBackend.get(org), held.get(org) ?? 0, denied, nowMs));
    return may;
  }

  /** The same without a note: who waits is counted as one that wants a slot for as long as it waits. */
  may(
    backend: string,
    org: string,
    held: ReadonlyMap<string, number>,
    { capacity }: Pick<Load, 'capacity'>,
    nowMs: number,
  ): boolean {
    const claims = this.wanted.get(backend);
    const waiting = this.waiting.get(backend);
    const own = held.get(org) ?? 0;
    const others: SlotDemand[] = [];
    for (const name of new Set([...held.keys(), ...(claims?.keys() ?? []), ...(waiting?.keys() ?? [])])) {
      if (name === org) continue;
      const has = held.get(name) ?? 0;
      const claim = claims?.get(name);
      const wanted = Math.max(has + (waiting?.get(name) ?? 0), claim ? wantedSlots(claim, nowMs) : 0);
      if (wanted > 0) others.push({ weight: this.weightOf(name), inFlight: has, wanted });
      else claims?.delete(name);
    }
    return mayTakeSlot(capacity, { weight: this.weightOf(org), inFlight: own, wanted: own }, others);
  }

  waits(backend: string, org: string, change: 1 | -1): void {
    const ofBackend = this.waiting.get(backend) ?? new Map<string, number>();
    const count = (ofBackend.get(org) ?? 0) + change;
    if (count > 0) ofBackend.set(org, count);
    else ofBackend.delete(org);
    this.waiting.set(backend, ofBackend);
  }
}
