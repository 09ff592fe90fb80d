// Module boundaries: who may import whom, and what a core may not touch. Fails with every violation; `--self-test` proves that
// it sees one.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseSync } from 'oxc-parser';

const root = new URL('../..', import.meta.url).pathname;

/** Layers from the inside out; a project may import its own layer and those before it, as far as the rules allow. */
const RULES = [
  { of: /^libs\/kernel$/, may: [] },
  { of: /^libs\/contracts$/, may: ['kernel'] },
  { of: /^libs\/pricing-core$/, may: ['kernel', 'contracts'] },
  // It runs the other cores on a virtual clock.
  { of: /^libs\/simulation-core$/, may: ['kernel', 'contracts', '*-core'] },
  // How much exploring may cost is margin's to say.
  { of: /^libs\/routing-core$/, may: ['kernel', 'contracts', 'pricing-core', 'margin-core'] },
  // How long money lasts depends on what comes.
  { of: /^libs\/pacing-core$/, may: ['kernel', 'contracts', 'forecast-core'] },
  { of: /^libs\/[a-z]+-core$/, may: ['kernel', 'contracts', 'pricing-core'] },
  { of: /^libs\/tokenizers$/, may: [] },
  { of: /^libs\/price-catalogue$/, may: ['kernel', 'contracts', 'pricing-core'] },
  // What applications install: nothing of a service.
  { of: /^libs\/client$/, may: ['kernel', 'contracts'] },
  { of: /^libs\/telemetry$/, may: [] },
  { of: /^libs\/testing$/, may: [] },
  { of: /^libs\/counters$/, may: ['kernel', 'contracts', 'budget-core'] },
  { of: /^libs\/messaging$/, may: ['kernel', 'contracts'] },
  { of: /^libs\/ledger-store$/, may: ['kernel', 'contracts', 'ledger-core', 'margin-core', 'pricing-core'] },
  { of: /^libs\/ledger-store$/, may: ['kernel', 'contracts', 'ledger-core', 'pricing-core'] },
  // Its part `keys` is what whoever asks is known by; the rest issues keys and keeps what belongs to them in stores.
  {
    of: /^libs\/access$/,
    may: ['kernel', 'contracts', 'messaging', 'telemetry', 'service-kit', 'ledger-store'],
  },
  { of: /^libs\/service-kit$/, may: ['kernel', 'contracts', 'messaging', 'telemetry'] },
  {
    of: /^libs\/worker-kit$/,
    may: [
      'kernel',
      'contracts',
      'messaging',
      'telemetry',
      'service-kit',
      'pricing-core',
      'usage-core',
      'estimate-core',
      'dialect-core',
      'margin-core',
    ],
  },
  { of: /^services\/provider-worker$/, may: ['service-kit', 'worker-kit'] },
  {
    of: /^services\/local-worker$/,
    may: ['kernel', 'contracts', 'messaging', 'service-kit', 'worker-kit', 'engine-core'],
  },
  {
    of: /^services\/router$/,
    may: [
      'kernel',
      'contracts',
      'messaging',
      'telemetry',
      'service-kit',
      'counters',
      'tokenizers',
      'access/keys',
      '*-core',
    ],
  },
  {
    of: /^services\/metering$/,
    may: [
      'kernel',
      'contracts',
      'messaging',
      'telemetry',
      'service-kit',
      'counters',
      'ledger-store',
      'price-catalogue',
      '*-core',
    ],
  },
  {
    of: /^services\//,
    may: [
      'kernel',
      'contracts',
      'messaging',
      'telemetry',
      'service-kit',
      'counters',
      'ledger-store',
      'access',
      '*-core',
    ],
  },
  { of: /^tools\/provider-simulator$/, may: [] },
  {
    of: /^tools\//,
    may: [
      'kernel',
      'contracts',
      'messaging',
      'counters',
      'ledger-store',
      'price-catalogue',
      'tokenizers',
      'testing',
      'access/keys',
      'cli',
      'launcher',
      '*-core',
    ],
  },
];
/** Tests may also use these. */
const TESTS_MAY = ['testing', 'tokenizers', 'budget-core', 'kernel', 'provider-simulator', 'usage-core'];
/** A core is pure: no I/O, no clock, no random, no process, no Nest. */
const CORE_FORBIDDEN_IMPORT = /^(node:|@nestjs\/|@nats-io\/|typeorm$|pg$|ioredis$|undici$)/;
const CORE_FORBIDDEN_TEXT = /\b(Date\.now\(|new Date\(\)|Math\.random\(|process\.|setTimeout\(|fetch\()/;
/** The application layer knows no framework and no driver. */
const APPLICATION_FORBIDDEN_IMPORT = /^(@nestjs\/|@nats-io\/|typeorm$|pg$|ioredis$|undici$)/;

function* sources(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (name === 'dist' || name === 'node_modules') continue;
    if (statSync(path).isDirectory()) yield* sources(path);
    else if (/\.tsx?$/.test(name)) yield path;
  }
}

function importsOf(path, text) {
  const { module } = parseSync(path, text);
  return [
    ...module.staticImports,
    ...module.staticExports.flatMap((e) => e.entries.map((x) => ({ moduleRequest: x.moduleRequest }))),
    ...module.dynamicImports,
  ]
    .map(
      (i) =>
        i.moduleRequest?.value ??
        (i.moduleRequest ? text.slice(i.moduleRequest.start, i.moduleRequest.end).replace(/['"]/g, '') : undefined),
    )
    .filter((v) => v !== undefined);
}

function check(path, text) {
  const [layer, project] = path.split('/');
  const home = `${layer}/${project}`;
  const rule = RULES.find((r) => r.of.test(home));
  const isTest = /\.(spec|it)\.ts$|for-tests/.test(path);
  const isCore = project.endsWith('-core');
  const violations = [];
  const allowed = [...(rule?.may ?? []), ...(isTest ? TESTS_MAY : [])];
  for (const specifier of importsOf(path, text)) {
    const [, own, part] = /^@meritorder\/([^/]+)(\/.+)?/.exec(specifier) ?? [];
    const fits = (a) => a === own || a === own + part || (a === '*-core' && own.endsWith('-core'));
    if (own && own !== project && !allowed.some(fits)) {
      violations.push(`${path}: ${home} must not import @meritorder/${own}`);
    }
    if (/^\.\.\/(\.\.\/)+(libs|services|tools)\//.test(specifier))
      violations.push(`${path}: reaches into another project by path: ${specifier}`);
    if (isCore && !isTest && CORE_FORBIDDEN_IMPORT.test(specifier))
      violations.push(`${path}: a core is pure and must not import ${specifier}`);
    if (path.includes('/src/application/') && !isTest && APPLICATION_FORBIDDEN_IMPORT.test(specifier)) {
      violations.push(`${path}: the application layer must not import ${specifier}`);
    }
  }
  const impure = isCore && !isTest ? CORE_FORBIDDEN_TEXT.exec(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')) : null;
  if (impure) violations.push(`${path}: a core is pure and must not use ${impure[0]}`);
  return violations;
}

if (process.argv.includes('--self-test')) {
  const bad = [
    ['services/router/src/x.ts', "import { x } from '@meritorder/metering';"],
    ['services/router/src/x.ts', "import { x } from '@meritorder/ledger-store';"],
    ['services/router/src/x.ts', "import { x } from '@meritorder/access';"],
    ['libs/pricing-core/src/x.ts', "import { readFileSync } from 'node:fs';"],
    ['libs/routing-core/src/x.ts', 'export const now = Date.now();'],
    ['services/router/src/application/x.ts', "import { Injectable } from '@nestjs/common';"],
    ['tools/provider-simulator/src/x.ts', "import { rate } from '@meritorder/pricing-core';"],
    ['services/metering/src/x.ts', "export * from '../../../services/router/src/y.js';"],
  ];
  const missed = bad.filter(([path, text]) => check(path, text).length === 0);
  if (missed.length > 0) {
    console.error(`boundaries: not seen: ${missed.map((m) => m.join(': ')).join('; ')}`);
    process.exit(1);
  }
  console.log(`boundaries: ${bad.length} bad imports seen`);
  process.exit(0);
}

const violations = [];
for (const layer of ['libs', 'services', 'tools']) {
  for (const path of sources(join(root, layer)))
    violations.push(...check(relative(root, path), readFileSync(path, 'utf8')));
}
for (const violation of violations) console.error(violation);
console.log(`boundaries: ${violations.length} violations`);
process.exit(violations.length === 0 ? 0 : 1);
