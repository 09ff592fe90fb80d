// npm test: set-up, then units, integration on real servers and system tests, all in one run.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

setUp();
if (process.env.MERITORDER_TEST_DATA) process.env.MERITORDER_TEST_DATA = resolve(process.env.MERITORDER_TEST_DATA);
else if (process.env.CI === 'true') {
  console.error('meritorder: CI needs MERITORDER_TEST_DATA: the folder with the real data sets');
  process.exit(1);
} else console.log('MERITORDER_TEST_DATA is not set: tests on real data sets are skipped');

const report = join(root, '.data', 'test-report.json');
rmSync(report, { force: true });
const extra = process.argv.slice(2);
const result = spawnSync(
  node,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...extra,
  ],
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
);
let status = result.status ?? 1;
try {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, 'utf8'));
  const skipped = numPendingTests + numTodoTests;
  if (process.env.CI === 'true' && skipped > 0) {
    console.error(`meritorder: ${skipped} tests were skipped, which CI does not allow`);
    status ||= 1;
  }
  console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${skipped} skipped`);
} catch (error) {
  console.error(`meritorder: no test report (${error.message})`);
  status ||= 1;
}
process.exit(status);
