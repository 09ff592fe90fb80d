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

it('with deploy/docker/nkeys.yml each of them has the seed of its own user, and nobody has one of another', () => {
  const { services } = read('deploy/docker/nkeys.yml');
  expect(Object.keys(services).toSorted()).toEqual(connecting.map(({ service }) => service).toSorted());
  for (const { service, environment } of connecting) {
    const { environment: more, volumes } = services[service]!;
    expect(more).toEqual({ NATS_NKEY_SEED_FILE: '/run/meritorder-nkey' });
    expect(volumes).toHaveLength(1);
    expect(volumes![0]!.replace(/^\$\{MERITORDER_SEEDS_DIR:\?[^}]*\}/, '')).toBe(
      `/${userOf(environment)}:/run/meritorder-nkey:ro`,
    );
  }
});
