import { Logger, type Provider, type Type } from '@nestjs/common';
import type { ServiceContext } from '@meritorder/service-kit';
import type { DataSource } from 'typeorm';
import { KeyDesk } from './key-desk.js';
import { KeyKeeper } from './key-keeper.js';
import { KeyPublisher } from './key-publisher.js';
import { KeysController } from './keys.controller.js';

/**
 * All that issues keys, to be spread into the module of a service that has the database and the NATS permissions of
 * `ISSUING_KEYS`. Several instances share the work.
 */
export function keyIssuing(
  { config, bus, readiness }: Pick<ServiceContext, 'config' | 'bus' | 'readiness'>,
  database: DataSource,
): { providers: Provider[]; controllers: Type[] } {
  const log = new Logger('Keys');
  const publisher = new KeyPublisher(database, bus);
  const keeper = new KeyKeeper(publisher);
  readiness(() => keeper.failing());
  return {
    providers: [
      { provide: KeyPublisher, useValue: publisher },
      { provide: KeyDesk, useValue: new KeyDesk(config, database, publisher, (message) => log.warn(message)) },
      { provide: KeyKeeper, useValue: keeper },
    ],
    controllers: [KeysController],
  };
}
