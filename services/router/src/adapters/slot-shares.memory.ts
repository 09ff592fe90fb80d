import { askedForSlot, mayTakeSlot, wantedSlots, type SlotDemand, type WantedSlots } from '@meritorder/fleet-core';

/** What orgs want of each own backend, as this router hears them ask; what they have comes from heartbeats. */
export class SlotShares {
  private readonly wanted = new Map<string, Map<string, WantedSlots>>();

  /** @param weightOf of an org, above 0 */
  constructor(private readonly weightOf: (org: string) => number) {}

  /** Whether a request of an org may go there, and that it asked. @param held slots by org, on all workers of the backend */
  ask(
    backend: string,
    org: string,
    held: ReadonlyMap<string, number>,
    { inFlight, capacity }: { inFlight: number; capacity: number },
    nowMs: number,
  ): boolean {
    const ofBackend = this.wanted.get(backend) ?? new Map<string, WantedSlots>();
    this.wanted.set(backend, ofBackend);
    const own = held.get(org) ?? 0;
    const others: SlotDemand[] = [];
    for (const name of new Set([...held.keys(), ...ofBackend.keys()])) {
      if (name === org) continue;
      const has = held.get(name) ?? 0;
      const claim = ofBackend.get(name);
      const wanted = Math.max(has, claim ? wantedSlots(claim, nowMs) : 0);
      if (wanted > 0) others.push({ weight: this.weightOf(name), inFlight: has, wanted });
      else ofBackend.delete(name);
    }
    const asker = { weight: this.weightOf(org), inFlight: own, wanted: own };
    const may = mayTakeSlot(capacity, asker, others);
    ofBackend.set(org, askedForSlot(ofBackend.get(org), own, !may || inFlight >= capacity, nowMs));
    return may;
  }
}
