// A benchmark by name, with what it needs built; the rest of the command line is its own.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

// The benchmark's own output stays clean: its last line is JSON.
const log = console.log;
console.log = console.error;
setUp();
console.log = log;
const [name, ...options] = process.argv.slice(2);
const result = spawnSync(node, [join(root, `tools/bench/dist/${name}/main.js`), ...options], { stdio: 'inherit' });
process.exit(result.status ?? 1);
