import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files in PEM. */
export interface TestCertificates {
  caFile: string;
  /** Of a server on 127.0.0.1 or localhost. */
  server: { certFile: string; keyFile: string };
  client: { certFile: string; keyFile: string };
}

/**
 * A certificate authority that exists for one test, with a server's and a client's certificate, valid for a day.
 * @throws Error when there is no `openssl` on the path.
 */
export function makeCertificates(folder: string): TestCertificates {
  mkdirSync(folder, { recursive: true });
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => {
    try {
      execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      throw new Error(`openssl is needed to make certificates: ${(error as Error).message}`);
    }
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '1',
    '-subj',
    '/CN=test authority',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  );
  const signed = (name: string, extensions: string): { certFile: string; keyFile: string } => {
    writeFileSync(file(`${name}.ext`), extensions);
    openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    const out = ['-extfile', `${name}.ext`, '-out', `${name}.pem`];
    openssl('x509', '-req', '-days', '1', '-in', `${name}.csr`, ...authority, ...out);
    return { certFile: file(`${name}.pem`), keyFile: file(`${name}.key`) };
  };
  return {
    caFile: file('ca.pem'),
    server: signed('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n'),
    client: signed('client', 'extendedKeyUsage=clientAuth\n'),
  };
}
