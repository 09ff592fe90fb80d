import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { node, root, setUp } from './set-up.mjs';

setUp();
const child = spawn(node, [join(root, 'tools/launcher/dist/main.js'), ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// Ctrl-C reaches the child too; it decides when everything has ended.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 130 : 0)));
