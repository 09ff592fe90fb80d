import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { WORKSPACE } from '@meritorder/launcher';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startProduct, type Product } from './harness.js';

const run = promisify(execFile);
/** An application of its own, that has nothing of this repository but the package. */
const app = mkdtempSync(join(tmpdir(), 'meritorder-app-'));
let product: Product;

beforeAll(async () => {
  product = await startProduct({ backends: [{ id: 'quick' }] });
  const { stdout } = await run(process.execPath, [join(WORKSPACE, 'libs/client/pack.mjs'), app]);
  const installed = join(app, 'node_modules/@meritorder/client');
  mkdirSync(installed, { recursive: true });
  await run('tar', ['xzf', stdout.trim(), '--strip-components=1', '-C', installed]);
  const { dependencies, bundleDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    bundleDependencies: string[];
  };
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    if (bundleDependencies.includes(name)) continue;
    const link = join(app, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(WORKSPACE, 'node_modules', name), link);
  }
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }');
});
afterAll(async () => {
  await product?.stop();
  rmSync(app, { recursive: true, force: true });
});

const PROGRAM = `
import { Meritorder, MeritorderError, type OrgEvent } from '@meritorder/client';
const meritorder: Meritorder = await Meritorder.connect(JSON.parse(process.argv[2]!));
const answer = await meritorder.ask({ model: 'quick', messages: [{ role: 'user', content: 'hello' }], max_tokens: 20 });
const said: string | null | undefined = answer.choices[0]?.message.content;
const stop = meritorder.subscribe('alerts', async (event: OrgEvent) => {
  if (event.type === 'budget.exhausted.v1') console.log(event.data.limitNanos.length);
});
const refused = await meritorder.ask({ model: 'none', messages: [{ role: 'user', content: 'x' }] }).catch((e: unknown) => e);
if (!(refused instanceof MeritorderError)) throw refused;
console.log(JSON.stringify({ said: typeof said, usd: answer.meritorder.cost.usd, code: refused.code }));
await stop();
await meritorder.close();
`;

it('is one package, which an application installs, compiles strictly against, and runs', async () => {
  writeFileSync(join(app, 'main.ts'), PROGRAM);
  const options = '--strict --target es2023 --module nodenext --skipLibCheck false --types node --outDir out'.split(
    ' ',
  );
  await run(process.execPath, [join(WORKSPACE, 'node_modules/typescript/bin/tsc'), ...options, 'main.ts'], {
    cwd: app,
  });
  const { nats, passwords } = product.stack;
  const to = { servers: nats.url, org: 'acme', user: 'org-acme', pass: passwords!['org-acme'] };
  const { stdout } = await run(process.execPath, ['out/main.js', JSON.stringify(to)], { cwd: app });
  expect(JSON.parse(stdout)).toMatchObject({
    said: 'string',
    usd: expect.stringMatching(/^0\.0/),
    code: 'route_unknown',
  });
});

it('is required by a program of CommonJS', async () => {
  writeFileSync(join(app, 'main.cjs'), "console.log(typeof require('@meritorder/client').Meritorder.connect);");
  const { stdout } = await run(process.execPath, ['main.cjs'], { cwd: app });
  expect(stdout.trim()).toBe('function');
});
