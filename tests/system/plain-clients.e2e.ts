import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

const run = promisify(execFile);
const root = mkdtempSync(join(tmpdir(), 'meritorder-python-'));
const python = join(root, 'bin', 'python');
let product: Product;

/** A Python with the client of examples/requirements.txt, from whatever index pip is configured for. */
async function installClient(): Promise<void> {
  try {
    await run('python3', ['-m', 'venv', root]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '-r', 'examples/requirements.txt']);
  } catch (error) {
    const said = (error as { stderr?: string }).stderr || (error as Error).message;
    throw new Error(`python3 with venv and nats-py (examples/requirements.txt) cannot be installed: ${said}`);
  }
}

beforeAll(async () => {
  await installClient();
  product = await startProduct({
    backends: [
      { id: 'cloud', behaviour: { wordsPerChunk: 1 } },
      { id: 'slow', behaviour: { outputTokensPerSecond: 40, wordsPerChunk: 1 } },
    ],
    config: {
      routes: [{ id: 'auto', backends: ['cloud'] }],
      limits: { streamWindowChunks: 20, streamAckTimeoutMs: 2_000 },
    },
  });
});
afterAll(async () => {
  await product?.stop();
  rmSync(root, { recursive: true, force: true });
});

const example = (args: string[], more: NodeJS.ProcessEnv = {}): Promise<{ code: number; text: string }> =>
  run(python, ['examples/ask.py', ...args], {
    env: {
      ...process.env,
      NATS_URL: product.stack.nats.url,
      NATS_PASSWORD: product.stack.passwords!['org-acme']!,
      ...more,
    },
  }).then(
    ({ stdout }) => ({ code: 0, text: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      text: error.stdout + error.stderr,
    }),
  );

it('a plain client in Python asks, and reads a stream longer than its window, by acknowledging it', async () => {
  const { code, text } = await example(['Write 60 words.']);
  expect(text).toMatch(
    /^(\w+ ){59}\w+\ncloud for \$0\.000\d+ \(confirmed\)\n(\w+ ){59}\w+\nok: \d+ messages, [34] acknowledged, cloud for \$0\.000\d+ \(confirmed\)\n$/,
  );
  expect(code).toBe(0);
});

it('a plain client in Python is told what is wrong by a stable code', async () => {
  const { code, text } = await example(['Hello'], { MERITORDER_MODEL: 'nobody' });
  expect(text).toMatch(/^route_unknown \(404\): /);
  expect(code).toBe(1);
});

it('a plain client in Python cancels, the backend stops, and the receipt says what is held', async () => {
  const before = product.simulator.invoice().lines.length;
  const { code, text } = await example(['--cancel-after', '3', 'Write 150 words.'], { MERITORDER_MODEL: 'slow' });
  expect(text).toMatch(/\ncancelled: \d+ messages, \d acknowledged, slow for \$0\.000\d+ \(unconfirmed\)\n$/);
  expect(code).toBe(0);
  const lines = product.simulator.invoice().lines.slice(before);
  expect(lines).toMatchObject([{ outcome: 'cancelled' }]);
  expect(lines[0]!.outputTokens).toBeLessThan(150);
});
