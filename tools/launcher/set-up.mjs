// What every npm verb does first, with any Node >= 20 and nothing installed: install, and build what changed.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const node = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

function fail(message) {
  console.error(`meritorder: ${message}`);
  process.exit(1);
}

function run(command, args, { quiet, env = {} } = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    encoding: 'utf8',
    env: { ...process.env, ...env },
    shell: process.platform === 'win32',
  });
  if (result.error) fail(`cannot run ${command}: ${result.error.message}`);
  return result;
}

/** Installs dependencies when the lockfile changed, and builds what changed. */
export function setUp() {
  if (Number(process.versions.node.split('.')[0]) < 20)
    fail(`Node ${process.versions.node} is too old; install Node 20 or newer`);
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.meritorder-installed');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock || !existsSync(node)) {
    console.log('installing dependencies (npm ci) ...');
    const installed = run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
    if (installed.status !== 0)
      fail('npm ci failed (see above); check the network or the npm registry, then run the command again');
    if (!existsSync(node)) fail('the npm package "node" has no binary; run npm ci without --ignore-scripts');
    writeFileSync(stamp, lock);
  }
  const path = `${dirname(node)}${process.platform === 'win32' ? ';' : ':'}${process.env.PATH}`;
  process.env.PATH = path;
  console.log('building ...');
  const built = run(
    node,
    [join(root, 'node_modules/nx/dist/bin/nx.js'), 'run-many', '-t', 'build', '--outputStyle=static'],
    {
      quiet: true,
      env: { NX_DAEMON: 'false', NX_TUI: 'false', CI: process.env.CI ?? '' },
    },
  );
  if (built.status !== 0) fail(`the build failed:\n${built.stdout}${built.stderr}`);
}
