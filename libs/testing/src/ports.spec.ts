import { createServer, type AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { assertPortFree, freePort } from './ports.js';

it('a free port is below those of outgoing connections, so that no client connects to itself', async () => {
  const port = await freePort();
  expect(port).toBeGreaterThanOrEqual(20_000);
  expect(port).toBeLessThan(32_000);
});

it('a port in use is named, with what to set', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await expect(assertPortFree(port, 'Redis', 'MERITORDER_REDIS_PORT')).rejects.toThrow(
    new Error(`port ${port} for Redis is in use; set MERITORDER_REDIS_PORT to another port`),
  );
  await new Promise((done) => server.close(done));
});
