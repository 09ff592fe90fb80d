import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

// The benchmark's own output stays clean: its last line is JSON.
const log = console.log;
console.log = console.error;
setUp();
console.log = log;
const result = spawnSync(node, [join(root, 'tools/bench/dist/replay/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(result.status ?? 1);
