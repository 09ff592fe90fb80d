import type { Fleet } from './ports.js';

/** The backend that a request is counted at while it is decided for it. */
export class Place {
  private isUnderWay = true;

  constructor(
    private readonly fleet: Pick<Fleet, 'began' | 'arrived' | 'left'>,
    private readonly org: string,
    private backend: string,
  ) {
    fleet.began(backend, org);
  }

  get at(): string {
    return this.backend;
  }

  /** Its worker has it. */
  arrived(): void {
    if (this.isUnderWay) this.fleet.arrived(this.backend, this.org);
    this.isUnderWay = false;
  }

  moveTo(backend: string): void {
    if (backend === this.backend) return;
    this.leave();
    this.backend = backend;
    this.fleet.began(backend, this.org);
    this.isUnderWay = true;
  }

  leave(): void {
    this.arrived();
    this.fleet.left(this.backend, this.org);
  }
}
