import type { BackendConfig } from '@meritorder/contracts';
import type { BackendView } from '@meritorder/routing-core';
import type { Catalogue, Fleet } from './ports.js';

/** Backends as a decision sees them: prices in force, live workers, health. @param slotsLeftFree of own hardware, 0..1 @param askingOrg asks for slots, not for numbers alone */
export function viewsOf(
  backends: readonly BackendConfig[],
  catalogue: Pick<Catalogue, 'price' | 'otherPrices'>,
  fleet: Pick<Fleet, 'workersAlive' | 'workersWithRoom' | 'allows' | 'cooling' | 'mayTake'>,
  atMs: number,
  slotsLeftFree = 0,
  askingOrg?: string,
): (BackendView & { otherPrices: ReturnType<Catalogue['otherPrices']> })[] {
  return backends.map((backend) => {
    const { id } = backend;
    const breakerClosed = fleet.allows(id, atMs);
    return {
      backend,
      price: catalogue.price(id, atMs),
      otherPrices: catalogue.otherPrices(id, atMs),
      workersAlive: fleet.workersAlive(id),
      workersWithRoom: fleet.workersWithRoom(id, backend.kind === 'local' ? slotsLeftFree : 0),
      breakerClosed,
      cooling: breakerClosed ? undefined : fleet.cooling(id, atMs),
      overShare: askingOrg !== undefined && backend.kind === 'local' && !fleet.mayTake(id, askingOrg),
    };
  });
}
