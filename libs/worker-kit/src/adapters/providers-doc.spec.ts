import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { defaultBaseUrl, parseConfig, type BackendConfig } from '@meritorder/contracts';
import { CredentialPools } from '../application/credentialed-upstream.js';
import { credentialsFromEnvironment } from './credentials-from-environment.js';
import { providerWires } from './provider-wires.js';

const doc = readFileSync(new URL('../../../../docs/concepts/providers.md', import.meta.url), 'utf8');
const blocks = [...doc.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);

function backendsOf(block: string): BackendConfig[] {
  const text = `version: 1\norgs: [{ id: acme }]\nbackends:\n${block.replace(/^/gm, '  ')}`;
  return parseConfig(text, 'providers.md', {}).backends;
}

it.each(blocks.map((block) => [/id: (\S+)/.exec(block)?.[1], block]))(
  'the lines for %s make backends that a worker starts with',
  async (_id, block) => {
    const backends = backendsOf(block!);
    const names = [...block!.matchAll(/Env: (\w+)/g)].map((match) => match[1]!);
    expect(names.length).toBeGreaterThan(0);
    const secrets = Object.fromEntries(names.map((name) => [name, `secret of ${name}`]));
    const pools = new CredentialPools(
      backends,
      (b) => credentialsFromEnvironment(b, secrets),
      () => 0,
    );
    await providerWires(backends, pools).close();
    expect(() => backends.map((b) => credentialsFromEnvironment(b, {}))).toThrow(/needs \w+ or \w+_FILE/);
  },
);

it('the table has the URLs that are called, and the lines a backend of every provider in it', () => {
  const table = /\| provider .*\n\| -.*\n((?:\|.*\n)+)/.exec(doc)![1]!.trim().split('\n');
  const rows = table
    .map((row) => row.split('|').map((cell) => /`([^`]+)`/.exec(cell)?.[1]))
    // The last row is for everybody without a name of their own here.
    .filter(([, , , provider]) => provider !== undefined);
  const made = blocks.flatMap((block) => backendsOf(block));
  expect(rows.length).toBeGreaterThan(6);
  for (const [, , protocol, provider, where] of rows) {
    const url = where!.startsWith('http') ? where : undefined;
    expect(defaultBaseUrl(protocol as BackendConfig['protocol'], provider!, undefined)).toBe(url);
    expect(
      made.some((b) => b.protocol === protocol && b.provider === provider),
      `${protocol} ${provider}`,
    ).toBe(true);
  }
});
