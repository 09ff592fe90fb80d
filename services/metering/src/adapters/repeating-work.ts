/** Pieces of work that are done again and again until the service stops; one that fails is told of and tried again. */
export class RepeatingWork {
  private readonly loops: Promise<void>[] = [];
  private readonly stopping = new AbortController();

  constructor(private readonly onError: (message: string) => void) {}

  /** @param work returns true when more is waiting: then it runs again at once. */
  start(name: string, everyMs: number, work: () => Promise<boolean>): void {
    this.loops.push(this.loop(name, everyMs, work));
  }

  get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.loops);
  }

  private async loop(name: string, everyMs: number, work: () => Promise<boolean>): Promise<void> {
    while (!this.stopped) {
      let more = false;
      try {
        more = await work();
      } catch (error) {
        this.onError(`${name}: ${(error as Error).message}`);
      }
      if (!more) await this.sleep(everyMs);
    }
  }

  private sleep(ms: number): Promise<void> {
    if (this.stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const { signal } = this.stopping;
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
    });
  }
}
