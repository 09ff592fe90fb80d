/** Work that is done again and again, never twice at once, until it is stopped. */
export class Repeating {
  private readonly ended = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly everyMs: number,
    private readonly work: () => Promise<void>,
  ) {}

  /** @param went is told after each time how it went. */
  start(went: (error?: Error) => void): void {
    this.running = this.run(went);
  }

  /** Resolves when what is in hand has ended. */
  async stop(): Promise<void> {
    this.ended.abort();
    await this.running;
  }

  private async run(went: (error?: Error) => void): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted) {
      await this.work().then(() => went(), went);
      await new Promise<void>((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
          resolve();
        };
        const timer = setTimeout(end, this.everyMs);
        signal.addEventListener('abort', end);
        if (signal.aborted) end();
      });
    }
  }
}
