import { describe, expect, it } from 'vitest';
import { packagesOf } from './shared-libraries.js';

describe('the Debian package of a shared library', () => {
  const rows: [soname: string, first: string][] = [
    ['libjemalloc.so.2', 'libjemalloc2'],
    ['liblzf.so.1', 'liblzf1'],
    ['libpq.so.5', 'libpq5'],
    ['liblz4.so.1', 'liblz4-1'],
    ['liblua5.1.so.0', 'liblua5.1-0'],
    ['libhiredis.so.0.14', 'libhiredis0.14'],
    ['libgssapi_krb5.so.2', 'libgssapi-krb5-2'],
    ['libldap-2.5.so.0', 'libldap-2.5-0'],
    ['libLLVM-14.so.1', 'libllvm-14-1'],
    ['libicui18n.so.72', 'libicu72'],
    ['libz.so.1', 'zlib1g'],
    ['liblua5.1-cjson.so.0', 'lua-cjson'],
    ['libcrypto.so.3', 'libssl3'],
  ];
  it.each(rows)('%s is in %s', (soname, first) => {
    expect(packagesOf(soname)[0]).toBe(first);
  });

  it('may carry the mark of the 64-bit time transition', () => {
    expect(packagesOf('libssl.so.3')).toEqual(['libssl3', 'libssl3t64']);
  });

  it('is unknown for a name that is no versioned library', () => {
    expect(packagesOf('vdso')).toEqual([]);
  });
});
