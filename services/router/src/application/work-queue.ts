/** Runs tasks in their order, so many of them at once. A task does not reject. */
export class WorkQueue {
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly onIdle: (() => void)[] = [];
  private running = 0;

  constructor(private readonly mostAtOnce: number) {}

  add(task: () => Promise<void>): void {
    this.waiting.push(task);
    this.begin();
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => this.onIdle.push(resolve));
  }

  private begin(): void {
    while (this.running < this.mostAtOnce && this.waiting.length > 0) {
      this.running++;
      void this.waiting.shift()!().finally(() => this.ended());
    }
  }

  private ended(): void {
    this.running--;
    this.begin();
    if (this.running === 0) for (const resolve of this.onIdle.splice(0)) resolve();
  }
}
