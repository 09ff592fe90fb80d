/** What one org has of a replica's slots, and wants. */
export interface SlotDemand {
  /** Above 0, relative to others. */
  weight: number;
  inFlight: number;
  /** Slots it would use now if it could; at least what it has. */
  wanted: number;
}

/**
 * Slots that `asker` may have at once by weighted max-min fairness: every org gets what it wants as long as that is below its
 * weight's part, and what these leave is divided by weight among the others (progressive filling: Bertsekas and Gallager, Data
 * Networks, 2nd ed., 6.5.2). So one that is alone may have everything, and nobody can take by wanting more what another has
 * a part in. A real number of slots, 0 to `capacity`.
 */
export function entitledSlots(capacity: number, asker: SlotDemand, others: readonly SlotDemand[]): number {
  const perWeight = (d: SlotDemand): number => d.wanted / d.weight;
  let left = capacity;
  let weights = asker.weight;
  for (const other of others) weights += other.weight;
  for (const demand of others.toSorted((a, b) => perWeight(a) - perWeight(b))) {
    const level = left / weights;
    // From here on all want more than their part, the asker too or it is told what it wants.
    if (perWeight(demand) >= Math.min(level, perWeight(asker))) break;
    left -= demand.wanted;
    weights -= demand.weight;
  }
  return Math.min(asker.wanted, (asker.weight * left) / weights);
}

/**
 * Whether an org may take one more slot. A part of a slot counts as one: whoever has a share can use it, and of two that share one
 * slot the first takes it.
 */
export function mayTakeSlot(capacity: number, asker: SlotDemand, others: readonly SlotDemand[]): boolean {
  const more = { ...asker, wanted: Math.max(asker.wanted, asker.inFlight + 1) };
  return asker.inFlight < entitledSlots(capacity, more, others) - 1e-9;
}
