import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';

interface Compose {
  services: Record<string, { environment?: Record<string, string>; volumes?: string[] }>;
}
const root = join(import.meta.dirname, '../../..');
const read = (file: string): Compose => parse(readFileSync(join(root, file), 'utf8'), { merge: true }) as Compose;

/** Services that connect to NATS, and the files of their credentials. */
const connecting = Object.entries(read('docker-compose.yml').services).flatMap(([service, { environment = {} }]) =>
  environment['NATS_PASSWORD_FILE'] === undefined ? [] : [{ service, environment }],
);
/** Its NATS user: `prepare` is the operator, a host's worker its host's. */
const userOf = (environment: Record<string, string>): string => environment['NATS_PASSWORD_FILE']!.split('/').at(-1)!;

it('every service of docker-compose.yml follows a rotation of its password: its name is in a file too', () => {
  expect(connecting).toHaveLength(7);
  for (const { environment } of connecting) {
    expect(environment['NATS_USER']).toBeUndefined();
    expect(environment['NATS_USER_FILE']).toBe(`/run/meritorder/users/${userOf(environment)}`);
  }
});
