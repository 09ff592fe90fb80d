import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Packages whose name does not follow from the library's. */
const EXCEPTIONS: Record<string, string> = {
  'libz.so.1': 'zlib1g',
  'libpam.so.0': 'libpam0g',
  'libxslt.so.1': 'libxslt1.1',
  'libcrypto.so.3': 'libssl3',
  'libcrypto.so.1.1': 'libssl1.1',
  'liblber-2.5.so.0': 'libldap-2.5-0',
  'liblber.so.2': 'libldap2',
  'liblua5.1-cjson.so.0': 'lua-cjson',
  'liblua5.1-bitop.so.0': 'lua-bitop',
  'libk5crypto.so.3': 'libk5crypto3',
};

/**
 * The Debian packages that may hold a shared library, likeliest first: name and version of the library, with a hyphen between
 * two digits (Debian policy 8.1), and since 2024 with `t64` where the size of time changed.
 */
export function packagesOf(soname: string): string[] {
  const parts = /^(.+?)\.so\.(.+)$/.exec(soname);
  const icu = /^libicu(?:data|i18n|io|uc)\.so\.(\d+)$/.exec(soname);
  const name = EXCEPTIONS[soname] ?? (icu ? `libicu${icu[1]}` : undefined);
  if (name) return [name, `${name}t64`];
  if (!parts) return [];
  const base = parts[1]!.toLowerCase().replaceAll('_', '-');
  const full = `${base}${/\d$/.test(base) ? '-' : ''}${parts[2]}`;
  return [full, `${full}t64`];
}

/** The folders below an unpacked package that hold shared libraries, as Debian lays them out. */
export function libraryPath(root: string): string {
  return ['usr/lib', 'lib']
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.includes('-linux-'))
        .map((name) => join(folder, name)),
    )
    .join(':');
}

/** The shared libraries that programs do not find. */
export async function missingLibraries(programs: string[], root: string): Promise<string[]> {
  const missing = new Set<string>();
  for (const program of programs) {
    const env = { ...process.env, LC_ALL: 'C', LD_LIBRARY_PATH: libraryPath(root) };
    // It fails on a program that is linked statically.
    const { stdout } = await run('ldd', [program], { env }).catch(() => ({ stdout: '' }));
    for (const [, soname] of stdout.matchAll(/^\s*(\S+) => not found/gm)) missing.add(soname!);
  }
  return [...missing];
}
