import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeOperatorFile } from './operator-file.js';

it('a shell that reads the file knows the servers, whatever the password, and only its owner may read it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'meritorder-operator-'));
  const file = writeOperatorFile(
    folder,
    {
      nats: { url: 'nats://127.0.0.1:1' },
      redis: { url: 'redis://127.0.0.1:2' },
      database: { url: "postgres://m:it's $HOME@127.0.0.1:3/m" },
      credentialsEnvironment: (user) => ({ NATS_NKEY_SEED_FILE: `/seeds/${user}` }),
    },
    { NATS_TLS_CA_FILE: '/tls/ca.pem', NATS_TLS_CERT_FILE: '' },
  );
  const shown = '"$DATABASE_URL" "$NATS_NKEY_SEED_FILE" "$NATS_TLS_CA_FILE" "${NATS_TLS_CERT_FILE-unset}"';
  const said = execFileSync('sh', ['-c', `. "${file}" && printf '%s|%s|%s|%s' ${shown}`]).toString();
  expect(said).toBe("postgres://m:it's $HOME@127.0.0.1:3/m|/seeds/operator|/tls/ca.pem|unset");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  rmSync(folder, { recursive: true });
});
