// npm run check: everything that needs no server.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

setUp();
const bin = (path) => join(root, 'node_modules', path);
const steps = [
  ['formatting', [bin('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['lint', [bin('oxlint/bin/oxlint'), '--deny-warnings', '--quiet']],
  ['boundaries', [join(root, 'tools/boundaries/check.mjs')]],
  ['boundaries see a bad import', [join(root, 'tools/boundaries/check.mjs'), '--self-test']],
  ['types of tests', [bin('typescript/bin/tsc'), '-p', 'tsconfig.tests.json']],
  ['generated documents', [join(root, 'tools/gen/dist/main.js'), '--check']],
];
let failed = 0;
for (const [name, args] of steps) {
  const result = spawnSync(node, args, { cwd: root, encoding: 'utf8' });
  const ok = result.status === 0;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}`);
  if (!ok) {
    failed++;
    console.error(`${result.stdout}${result.stderr}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
