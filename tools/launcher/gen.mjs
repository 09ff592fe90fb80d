import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

setUp();
process.exit(
  spawnSync(node, [join(root, 'tools/gen/dist/main.js'), ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1,
);
