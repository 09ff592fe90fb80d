import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { asyncApi } from './asyncapi.js';
import { configPage, errorsPage, redisPage, streamsPage } from './markdown.js';
import { schemas } from './schemas.js';

/** Writes docs/reference; with --check says whether what is committed is fresh. */
const root = resolve(import.meta.dirname, '../../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const files: Record<string, string> = {
  'asyncapi.json': json(asyncApi(version)),
  'errors.md': errorsPage(),
  'config.md': configPage(),
  'nats.md': streamsPage(),
  'redis.md': redisPage(),
};
for (const [name, schema] of Object.entries(schemas)) {
  files[`schemas/${name}.json`] = json({ $schema: 'http://json-schema.org/draft-07/schema#', title: name, ...schema });
}

const stale: string[] = [];
for (const [name, content] of Object.entries(files)) {
  const path = join(root, 'docs/reference', name);
  if (existsSync(path) && readFileSync(path, 'utf8') === content) continue;
  stale.push(name);
  if (process.argv.includes('--check')) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
if (process.argv.includes('--check') && stale.length > 0) {
  console.error(`docs/reference is stale: ${stale.join(', ')}; run npm run gen and commit`);
  process.exit(1);
}
console.log(`docs/reference: ${Object.keys(files).length} files, ${stale.length} changed`);
