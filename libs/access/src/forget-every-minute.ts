const EVERY_MS = 60_000;
const BATCH = 1_000;

/** @param forget at most so many, and says how many @returns ends it */
export function forgetEveryMinute(
  forget: (limit: number) => Promise<number>,
  onError: (error: Error) => void,
): () => void {
  const timer = setInterval(() => void forgetAll(forget).catch(onError), EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** In batches, until nothing is left. @returns how many were forgotten */
export async function forgetAll(forget: (limit: number) => Promise<number>): Promise<number> {
  let forgotten = 0;
  for (;;) {
    const deleted = await forget(BATCH);
    forgotten += deleted;
    if (deleted < BATCH) return forgotten;
  }
}
