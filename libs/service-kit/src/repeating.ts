/** Work that is done again and again, never twice at once, until it is stopped. */
export class Repeating {
  private readonly ended = new AbortController();
  private running: Promise<void> | undefined;
  /** Somebody said that there is more, and it has not been looked at since. */
  private isWoken = false;
  private sleeping: { sinceMs: number; timer: NodeJS.Timeout; end(): void } | undefined;

  /**
   * @param work returns true when more is waiting: then it runs again at once.
   * @param restMs between two rounds at least, however often somebody wakes it: what comes together is done together.
   */
  constructor(
    private readonly everyMs: number,
    private readonly work: () => Promise<unknown>,
    private readonly restMs = 0,
  ) {}

  /** @param went is told after each time how it went. */
  start(went: (error?: Error) => void): void {
    this.running = this.run(went);
  }

  /** There is something to do: it does not wait until its time. */
  wake(): void {
    if (this.isWoken) return;
    this.isWoken = true;
    this.bringForward();
  }

  get stopped(): boolean {
    return this.ended.signal.aborted;
  }

  /** Resolves when what is in hand has ended. */
  async stop(): Promise<void> {
    this.ended.abort();
    this.sleeping?.end();
    await this.running;
  }

  private async run(went: (error?: Error) => void): Promise<void> {
    while (!this.stopped) {
      this.isWoken = false;
      let more: unknown = false;
      try {
        more = await this.work();
        went();
      } catch (error) {
        // Being woken does not make it try again in haste.
        this.isWoken = false;
        went(error as Error);
      }
      if (more !== true) await this.sleep();
    }
  }

  private async sleep(): Promise<void> {
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(this.sleeping?.timer);
        this.sleeping = undefined;
        resolve();
      };
      this.sleeping = {
        sinceMs: performance.now(),
        timer: setTimeout(end, this.isWoken ? this.restMs : this.everyMs),
        end,
      };
    });
  }

  private bringForward(): void {
    const { sleeping } = this;
    if (!sleeping) return;
    clearTimeout(sleeping.timer);
    sleeping.timer = setTimeout(sleeping.end, Math.max(0, this.restMs - (performance.now() - sleeping.sinceMs)));
  }
}
