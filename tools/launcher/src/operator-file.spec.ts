import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeOperatorFile } from './operator-file.js';

it('a shell that reads the file knows the servers, whatever the password, and only its owner may read it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'meritorder-operator-'));
  const file = writeOperatorFile(folder, {
    nats: { url: 'nats://127.0.0.1:1' },
    redis: { url: 'redis://127.0.0.1:2' },
    database: { url: "postgres://m:it's $HOME@127.0.0.1:3/m" },
    passwords: { operator: 'secret' },
  });
  const said = execFileSync('sh', ['-c', `. "${file}" && printf '%s|%s' "$DATABASE_URL" "$NATS_PASSWORD"`]).toString();
  expect(said).toBe("postgres://m:it's $HOME@127.0.0.1:3/m|secret");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  rmSync(folder, { recursive: true });
});
