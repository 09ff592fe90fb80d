import { mkdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const BEAT_MS = 2_000;
const STALE_MS = 15_000;

/**
 * One at a time, among processes too. It saves work; it is no proof: what is done under it must also be safe when done twice
 * (a holder that was stopped for a while loses it).
 */
export async function withLock<T>(folder: string, action: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(folder), { recursive: true });
  while (!take(folder)) await delay(100);
  const beat = setInterval(() => {
    try {
      utimesSync(folder, new Date(), new Date());
    } catch {
      // Somebody took it from us.
    }
  }, BEAT_MS);
  try {
    return await action();
  } finally {
    clearInterval(beat);
    rmSync(folder, { recursive: true, force: true });
  }
}

function take(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    if (Date.now() - statSync(folder).mtimeMs > STALE_MS) {
      // Of several who see that its holder died, one can rename it.
      const dead = `${folder}.${process.pid}`;
      renameSync(folder, dead);
      rmSync(dead, { recursive: true, force: true });
    }
  } catch {
    // It went in the meantime.
  }
  return false;
}
