const LONGEST_TIMER_MS = 2_147_483_647;

/** Why a call ends early: the client went away, or the simulator is being stopped. */
export type Departure = 'client' | 'stopping';

/** Somebody waits for the answer, until they leave. Every wait of a call goes through here and ends at departure. */
export class Presence {
  #departure: Departure | undefined;
  #wake: (() => void) | undefined;

  get departure(): Departure | undefined {
    return this.#departure;
  }

  get gone(): boolean {
    return this.#departure !== undefined;
  }

  leave(why: Departure): void {
    this.#departure ??= why;
    this.#wake?.();
  }

  /** Resolves after `ms` of real time, or at departure. */
  async sleep(ms: number): Promise<void> {
    if (!(ms > 0)) return;
    const dueAt = performance.now() + ms;
    for (let left = ms; left > 0 && !this.gone; left = dueAt - performance.now()) {
      await this.until((go) => {
        const timer = setTimeout(go, Math.min(Math.ceil(left), LONGEST_TIMER_MS));
        return () => clearTimeout(timer);
      });
    }
  }

  /** Resolves at departure only. */
  departed(): Promise<void> {
    return this.until(() => () => undefined);
  }

  /** Resolves when `go` is called, or at departure; the function that `subscribe` returns is called in both cases. */
  until(subscribe: (go: () => void) => () => void): Promise<void> {
    if (this.gone) return Promise.resolve();
    return new Promise((resolve) => {
      let settled = false;
      const settle = (): void => {
        if (settled) return;
        settled = true;
        this.#wake = undefined;
        unsubscribe?.();
        resolve();
      };
      let unsubscribe: (() => void) | undefined;
      this.#wake = settle;
      unsubscribe = subscribe(settle);
      if (settled) unsubscribe();
    });
  }
}
