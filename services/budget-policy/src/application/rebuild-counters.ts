import { limitIn } from '@meritorder/budget-core';
import type { BudgetDefinition, WindowCharge } from '@meritorder/contracts';
import type { LoadedHold, LoadedWindow } from '@meritorder/counters';
import type { Nanos } from '@meritorder/kernel';
import { enforced, type Subject } from './counted-budget.js';

export interface Snapshot {
  windows: (Subject & { window: string; settledNanos: Nanos; unconfirmedNanos: Nanos })[];
  attempts: {
    attemptId: string;
    state: 'opened' | 'unconfirmed';
    boundCashNanos: Nanos;
    boundFullNanos: Nanos;
    windows: WindowCharge[];
  }[];
  /** Retired ones too: of those that were granted before, some may still be open. */
  definitions: ReadonlyMap<string, BudgetDefinition>;
}

export interface RebuildPorts {
  /** Ends whatever epoch the counters are in. */
  closeEpoch(): Promise<void>;
  /** The last sequence number of the stream of attempts. */
  lastUsageSequence(): Promise<number>;
  /** Up to where metering has committed everything. */
  meteringFloor(): Promise<number>;
  nextEpoch(reason: string): Promise<number>;
  /** Tells everybody that no older epoch may admit anything, on whatever server. */
  announceEpoch(id: number): Promise<void>;
  beginEpoch(id: number): Promise<void>;
  snapshot(): Promise<Snapshot>;
  loadWindows(epochId: number, windows: LoadedWindow[]): Promise<void>;
  loadHolds(epochId: number, holds: LoadedHold[]): Promise<void>;
  openEpoch(epochId: number, windows: number): Promise<'ok' | 'superseded' | 'incomplete'>;
  dropOldEpochs(currentId: number): Promise<void>;
  pause(): Promise<void>;
}

const CHUNK = 1_000;

/**
 * Rebuilds the counters from the truth and opens a new epoch.
 *
 * Everybody is told of the new epoch before the watermark is noted, so that a server that is not ours any more, but still holds
 * the old epoch, is left alone by those who still reach it. Once the old epoch is closed no hold can be opened, so every attempt that can have reached a backend was published before:
 * it lies below the last sequence number noted now. When metering has committed up to there, the books know them all.
 */
export async function rebuildCounters(
  ports: RebuildPorts,
  reason: string,
): Promise<{ epochId: number; windows: number; holds: number } | undefined> {
  await ports.closeEpoch();
  const epochId = await ports.nextEpoch(reason);
  await ports.announceEpoch(epochId);
  const watermark = await ports.lastUsageSequence();
  while ((await ports.meteringFloor()) < watermark) await ports.pause();
  await ports.beginEpoch(epochId);
  const snapshot = await ports.snapshot();
  const { windows, holds } = countersOf(snapshot);
  for (let i = 0; i < windows.length; i += CHUNK) await ports.loadWindows(epochId, windows.slice(i, i + CHUNK));
  for (let i = 0; i < holds.length; i += CHUNK) await ports.loadHolds(epochId, holds.slice(i, i + CHUNK));
  if ((await ports.openEpoch(epochId, windows.length)) !== 'ok') return undefined;
  await ports.dropOldEpochs(epochId);
  return { epochId, windows: windows.length, holds: holds.length };
}

/** What the counters must say: totals as booked, and every opened attempt at its bound. */
export function countersOf(snapshot: Snapshot): { windows: LoadedWindow[]; holds: LoadedHold[] } {
  const windows = new Map<string, LoadedWindow>();
  const at = (subject: Subject, window: string): LoadedWindow => {
    const { budget } = subject;
    const key = `${budget} ${window}`;
    let counters = windows.get(key);
    if (!counters) {
      const { limitNanos, version } = limitOf(subject, window, snapshot.definitions);
      counters = {
        budget,
        window,
        limitNanos,
        limitVersion: version,
        settledNanos: 0n,
        unconfirmedNanos: 0n,
        reservedNanos: 0n,
        peakNanos: 0n,
      };
      windows.set(key, counters);
    }
    return counters;
  };
  for (const total of snapshot.windows) {
    const counters = at(total, total.window);
    counters.settledNanos = total.settledNanos;
    counters.unconfirmedNanos = total.unconfirmedNanos;
  }
  const holds = snapshot.attempts.map((attempt): LoadedHold => {
    if (attempt.state === 'opened') {
      for (const { budget, window, basis, template = null, values = null } of attempt.windows) {
        at({ budget, template, values }, window).reservedNanos +=
          basis === 'cash' ? attempt.boundCashNanos : attempt.boundFullNanos;
      }
    }
    return {
      attemptId: attempt.attemptId,
      state: attempt.state,
      cashNanos: attempt.boundCashNanos,
      fullNanos: attempt.boundFullNanos,
      windows: attempt.windows,
    };
  });
  return { windows: [...windows.values()], holds };
}

/** What holds may grow to before a router brings the limit again. Nothing for a budget that nobody knows. */
function limitOf(subject: Subject, window: string, definitions: Snapshot['definitions']): ReturnType<typeof limitIn> {
  const definition = definitions.get(subject.template ?? subject.budget);
  return definition ? limitIn(enforced(subject, definition).definition, window) : { limitNanos: 0n, version: 0 };
}
