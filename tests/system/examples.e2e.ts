import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

const run = promisify(execFile);
let product: Product;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  product = await startProduct({
    backends: [
      { id: 'cloud' },
      {
        id: 'text-embedding-3-small',
        behaviour: { kind: 'embedding', prices: { input: '0.02' } },
        // Its prices are the catalogue's.
        config: { kinds: ['embeddings'], catalogue: 'openai/text-embedding-3-small', prices: [] },
      },
    ],
    config: { routes: [{ id: 'auto', backends: ['cloud'] }] },
  });
  env = { ...process.env, NATS_URL: product.stack.nats.url, NATS_PASSWORD: product.stack.passwords!['org-acme']! };
});
afterAll(() => product.stop());

it("the README's examples get an answer with a receipt", async () => {
  const plain = await run(process.execPath, ['examples/ask.mjs', 'Write 4 words.'], { env });
  expect(plain.stdout).toMatch(
    /^\w+ \w+ \w+ \w+\n\ncloud for \$0\.0000\d+ in cash, .* \(confirmed\)\ncloud: the only able backend/,
  );
  const classic = await run(process.execPath, ['examples/ask-classic.mjs', 'Write 4 words.'], { env });
  expect(JSON.parse(classic.stdout)).toMatchObject({
    object: 'chat.completion',
    meritorder: { backend: 'cloud', usage: { outputTokens: 4 } },
  });
  const kinds = await run(process.execPath, ['examples/kinds.mjs', 'Write 4 words.'], { env });
  expect(kinds.stdout).toMatch(
    /^\d+ numbers, text-embedding-3-small for \$0\.00000\d+\n\w+ \w+ \w+ \w+ \(end_turn\), cloud for \$0\.0000\d+\n$/,
  );
  const client = await run(process.execPath, ['examples/client.mjs', 'Write 4 words.'], { env });
  expect(client.stdout).toMatch(/^\w+ \w+ \w+ \w+\n\ncloud for \$0\.0000\d+\nthumbs up: (recorded|pending)\n/);
});

it('the command line says what is wrong, and what the books hold', async () => {
  const meritorder = (args: string[], more: NodeJS.ProcessEnv = {}) =>
    run(process.execPath, ['tools/cli/dist/main.js', ...args], { env: { ...env, ...more } }).then(
      (r) => ({ code: 0, text: r.stdout }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        text: error.stdout + error.stderr,
      }),
    );
  const operator = { NATS_PASSWORD: product.stack.passwords!['operator']!, DATABASE_URL: product.stack.database.url };
  expect(await meritorder(['books'], operator)).toMatchObject({
    code: 0,
    text: expect.stringContaining('payable:simco'),
  });
  const reconciled = await meritorder(
    ['reconcile', '--provider', 'simco', '--invoice', `${product.simulator.url}/invoice`],
    operator,
  );
  expect(reconciled.code).toBe(0);
  const report = JSON.parse(reconciled.text);
  expect(report).toMatchObject({ linesMatched: 5, differences: [], unmatchedLines: [], confirmedDifferenceNanos: '0' });
  expect(report.totals.ledgerNanos).toBe(report.totals.invoiceNanos);
  expect(await meritorder(['reconcile', '--provider', 'simco', '--invoice', '/nowhere'], operator)).toMatchObject({
    code: 1,
    text: expect.stringContaining('/nowhere'),
  });
  expect(await meritorder(['check', '/nowhere.yaml'])).toEqual({
    code: 1,
    text: 'meritorder: /nowhere.yaml: cannot be read (ENOENT); name another with MERITORDER_CONFIG or --config\n',
  });
  expect(await meritorder(['provision'], { NATS_PASSWORD: 'wrong' })).toMatchObject({
    code: 1,
    text: expect.stringMatching(/cannot use NATS at .* as operator/),
  });
});
