// Packs the client with what it needs of this repository inside, as one package that installs anywhere: npm run pack:client
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const LIBS = join(import.meta.dirname, '..');
/** Inside the package, since nobody else needs them. */
const INSIDE = ['contracts', 'kernel'];
const isInside = (dependency) => INSIDE.some((lib) => dependency === `@meritorder/${lib}`);
const manifestOf = (lib) => JSON.parse(readFileSync(join(LIBS, lib, 'package.json'), 'utf8'));

const to = resolve(process.argv[2] ?? '.');
const stage = mkdtempSync(join(tmpdir(), 'meritorder-client-'));
try {
  const { private: _, scripts: _scripts, ...client } = manifestOf('client');
  const inside = INSIDE.map(manifestOf);
  const dependencies = Object.assign({}, client.dependencies, ...inside.map((manifest) => manifest.dependencies));
  write(stage, {
    ...client,
    exports: built(client),
    dependencies: Object.fromEntries(
      Object.entries(dependencies).map(([name, version]) => [name, isInside(name) ? client.version : version]),
    ),
    bundleDependencies: inside.map(({ name }) => name),
  });
  copy('client', stage);
  cpSync(join(LIBS, 'client', 'README.md'), join(stage, 'README.md'));
  for (const [i, lib] of INSIDE.entries()) {
    const folder = join(stage, 'node_modules', '@meritorder', lib);
    const { name, type } = inside[i];
    // What it needs is installed beside it, as the client's own.
    write(folder, { name, version: client.version, type, exports: built(inside[i]) });
    copy(lib, folder);
  }
  mkdirSync(to, { recursive: true });
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', to], { cwd: stage, encoding: 'utf8' });
  console.log(join(to, packed.trim()));
} finally {
  rmSync(stage, { recursive: true, force: true });
}

/** Without the sources, which stay here. */
function built({ exports }) {
  const { '@meritorder/source': _source, ...rest } = exports['.'];
  return { '.': rest };
}

function copy(lib, folder) {
  const filter = (path) => !path.endsWith('.map') && !path.includes('.for-tests.');
  cpSync(join(LIBS, lib, 'dist'), join(folder, 'dist'), { recursive: true, filter });
}

function write(folder, manifest) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}
