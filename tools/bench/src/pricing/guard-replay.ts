import { judgePrice, parseUsdPerToken, type GuardedPrice, type GuardReason } from '@meritorder/pricing-core';
import { revisionsOf, valuesOf, type PriceEvent, type Revision } from './price-events.js';
import { labeller, LABELS, type Label } from './price-labels.js';

export interface ReplayedVersion {
  revision: Revision;
  label: Label;
  /** Undefined: not a price at all, which nobody can confirm. */
  price: GuardedPrice | undefined;
  reasons: GuardReason[];
  applied: boolean;
}

export interface GuardMeasure {
  versions: ReplayedVersion[];
  tally: Record<Label, { held: number; applied: number }>;
  /** Of the absurd ones, the share that was held. */
  recall: number;
  /** Of what was held among the absurd and the ordinary, the share that is absurd. */
  precision: number;
  /** Of the ordinary ones, the share that was applied at once. */
  appliedAtOnce: number;
}

/** Takes a table of price changes in order, as an import does, and compares what the guard says with the labels. */
export function measureGuard(events: readonly PriceEvent[], together: boolean): GuardMeasure {
  const label = labeller(events);
  const versions = replay(revisionsOf(events, together)).map((v) => ({ ...v, label: label(v.revision) }));
  const count = (name: Label, applied: boolean): number =>
    versions.filter((v) => v.label === name && v.applied === applied).length;
  const tally = Object.fromEntries(
    LABELS.map((name) => [name, { held: count(name, false), applied: count(name, true) }]),
  ) as GuardMeasure['tally'];
  const { absurd, ordinary } = tally;
  return {
    versions,
    tally,
    recall: absurd.held / (absurd.held + absurd.applied),
    precision: absurd.held / (absurd.held + ordinary.held),
    appliedAtOnce: ordinary.applied / (ordinary.applied + ordinary.held),
  };
}

/** What is in force after a replay: of each model the last version that was applied. */
export function inForce(versions: readonly ReplayedVersion[]): Map<string, GuardedPrice> {
  return new Map(versions.flatMap(({ applied, price }) => (applied && price ? [[price.model, price] as const] : [])));
}

/** What the table says, version by version, and a book in which only what the guard lets pass is in force. */
function replay(revisions: readonly Revision[]): Omit<ReplayedVersion, 'label'>[] {
  const table = new Map<string, Record<string, bigint>>();
  const force = new Map<string, GuardedPrice>();
  return revisions.map((revision) => {
    const { model } = revision;
    let said = revision.added ? {} : table.get(model);
    try {
      if (!said) {
        // The model is older than the file: what stood in the table before was in force.
        said = Object.fromEntries(
          revision.events
            .filter((e) => e.old !== '')
            .map((e) => [valuesOf(e)[0]![0], parseUsdPerToken(e.old)] as const),
        );
        force.set(model, { model, rates: said });
      }
      const rates = { ...said };
      for (const [rate, text] of revision.events.flatMap(valuesOf)) {
        if (text === '') delete rates[rate];
        else rates[rate] = parseUsdPerToken(text);
      }
      table.set(model, rates);
      const price = { model, rates };
      const { verdict, reasons } = judgePrice(force.get(model), price, [...force.values()]);
      if (verdict === 'apply') force.set(model, price);
      return { revision, price, reasons, applied: verdict === 'apply' };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { revision, price: undefined, reasons: [{ code: 'absurd', message: error.message }], applied: false };
    }
  });
}

/** The share of ordinary prices that are held when all their rates slip by a factor, judged where they stood in the table. */
export function measureSlips(versions: readonly ReplayedVersion[]): Record<string, number> {
  const ordinary = versions.filter((v) => v.label === 'ordinary').flatMap(({ price }) => (price ? [price] : []));
  const slips: [name: string, slip: (picos: bigint) => bigint][] = [100n, 1_000n, 100_000n, 1_000_000n].flatMap(
    (factor) => [
      [`x ${factor}`, (picos: bigint) => picos * factor],
      [`/ ${factor}`, (picos: bigint) => picos / factor || 1n],
    ],
  );
  const peers: GuardedPrice[] = [];
  const force = new Map<string, GuardedPrice>();
  const held = new Map(slips.map(([name]) => [name, 0]));
  for (const price of ordinary) {
    for (const [name, slip] of slips) {
      const rates = Object.entries(price.rates).map(([rate, picos]) => [rate, picos ? slip(picos) : 0n] as const);
      const slipped = { model: price.model, rates: Object.fromEntries(rates) };
      if (judgePrice(force.get(price.model), slipped, peers).verdict === 'hold') held.set(name, held.get(name)! + 1);
    }
    peers.push(price);
    force.set(price.model, price);
  }
  return Object.fromEntries([...held].map(([name, count]) => [name, count / ordinary.length]));
}
