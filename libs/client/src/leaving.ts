/**
 * A promise that only ever rejects, with the first reason: what is awaited is raced against it. Unheard, it disturbs nobody.
 * (`Promise.withResolvers` is not in Node 20, which applications may run.)
 */
export function leaving(): { promise: Promise<never>; reject(reason: unknown): void } {
  let reject!: (reason: unknown) => void;
  const promise = new Promise<never>((_, rejected) => (reject = rejected));
  promise.catch(() => {});
  return { promise, reject };
}
