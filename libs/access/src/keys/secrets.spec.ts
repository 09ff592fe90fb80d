import { expect, it } from 'vitest';
import { digestOf, newSecret } from './secrets.js';

it('a secret names its key and carries 256 random bits', () => {
  const secrets = Array.from({ length: 1_000 }, () => newSecret('app-1'));
  for (const secret of secrets) expect(secret).toMatch(/^mo_app-1_[0-9A-Za-z]{43}$/);
  expect(new Set(secrets).size).toBe(1_000);
  // 62^42 < 2^256: without its first digit it could not carry them. Each digit but the first is uniform.
  const last = new Set(secrets.map((secret) => secret.at(-1)));
  expect(last.size).toBe(62);
});

it('what is kept of it is its SHA-256', () => {
  expect(digestOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
