import { expect, it } from 'vitest';
import type { MeritorderConfig } from '@meritorder/contracts';
import { configuredKeys } from './configured-keys.js';
import { digestOf } from './secrets.js';

const config = (keys: object[], others: object[] = []) =>
  ({
    orgs: [
      { id: 'acme', keys },
      { id: 'globex', keys: others },
    ],
  }) as unknown as MeritorderConfig;

it('keys of the configuration are known by the hash of their secrets, whichever way they are given', () => {
  const keys = configuredKeys(
    config([
      { id: 'a', sha256: digestOf('one') },
      { id: 'b', secretEnv: 'B_KEY' },
    ]),
    (name) => (name === 'B_KEY' ? 'two' : undefined),
  );
  expect([...keys].map(([digest, { org, key }]) => [digest, org, key.id])).toEqual([
    [digestOf('one'), 'acme', 'a'],
    [digestOf('two'), 'acme', 'b'],
  ]);
});

it('a secret that is missing, or belongs to two, is refused at the start, and is not in the message', () => {
  expect(() => configuredKeys(config([{ id: 'b', secretEnv: 'B_KEY' }]), () => undefined)).toThrow(/acme\/b.*B_KEY/);
  const twice = config([{ id: 'a', secretEnv: 'A' }], [{ id: 'b', secretEnv: 'B' }]);
  const tell = (): unknown => configuredKeys(twice, () => 'same-secret');
  expect(tell).toThrow('the keys acme/a and globex/b have the same secret');
  expect(tell).not.toThrow(/same-secret/);
});
