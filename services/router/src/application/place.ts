import type { Fleet } from './ports.js';

/** The backend that a request is counted at while it is decided for it. */
export class Place {
  constructor(
    private readonly fleet: Fleet,
    private readonly org: string,
    private backend: string,
  ) {
    fleet.began(backend, org);
  }

  moveTo(backend: string): void {
    if (backend === this.backend) return;
    this.leave();
    this.backend = backend;
    this.fleet.began(backend, this.org);
  }

  leave(): void {
    this.fleet.left(this.backend, this.org);
  }
}
