export { findServer, type FindOptions, type ServerBinary, type ServerKind } from './find-server.js';
export * from './for-tests.js';
export { startNats, type NatsOptions } from './nats.js';
export { assertPortFree, freePort } from './ports.js';
export { startPostgres, UNSAFE_POSTGRES, type PostgresOptions, type RunningPostgres } from './postgres.js';
export { startRedis, type RedisOptions } from './redis.js';
export { lastLines, type RunningServer, type StartOptions } from './running-server.js';
export type { ServerProcess } from './server-process.js';
export { waitFor, type WaitOptions } from './wait-for.js';
