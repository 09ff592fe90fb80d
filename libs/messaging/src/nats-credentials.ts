import { readFileSync } from 'node:fs';
import { nkeyAuthenticator, nkeys, type Authenticator, type TlsOptions } from '@nats-io/transport-node';

/** Who connects to NATS: an NKey's seed, or user and password; neither for a server that asks nobody. */
export interface NatsCredentials {
  user?: string | undefined;
  password?: string | undefined;
  /** `SU...`; it wins over a password. */
  nkeySeed?: string | undefined;
}

/**
 * From NATS_NKEY_SEED, or NATS_USER and NATS_PASSWORD; each may be in a file that NAME_FILE names.
 * @throws Error with one line when a file cannot be read.
 */
export function natsCredentials(env: NodeJS.ProcessEnv = process.env): NatsCredentials {
  const nkeySeed = secretFromEnvironment('NATS_NKEY_SEED', env);
  if (nkeySeed) return { nkeySeed };
  return {
    user: secretFromEnvironment('NATS_USER', env) || undefined,
    password: secretFromEnvironment('NATS_PASSWORD', env),
  };
}

/**
 * Asks for the credentials at every connect, so that one that was replaced in its file is used without a restart. While they
 * cannot be read, those of last time are: a client that gets none closes for good.
 * @throws Error when they cannot be read now, or the seed is none.
 */
export function authenticatorOf(credentials: () => NatsCredentials): Authenticator {
  let last = usable(credentials());
  return (nonce) => {
    try {
      last = usable(credentials());
    } catch {
      // As said above.
    }
    return last(nonce);
  };
}

function usable({ user, password, nkeySeed }: NatsCredentials): Authenticator {
  if (nkeySeed === undefined) return () => (user === undefined ? undefined : { user, pass: password ?? '' });
  const authenticator = nkeyAuthenticator(new TextEncoder().encode(nkeySeed));
  try {
    authenticator('');
  } catch {
    throw new Error('NATS_NKEY_SEED is no seed of an NKey');
  }
  return authenticator;
}

/** The public part of a seed. @throws Error when it is none. */
export function publicNKeyOf(seed: string): string {
  return nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
}

/**
 * TLS of a connection: NATS_TLS_CA_FILE (who signs the server's certificate; default: what Node trusts), NATS_TLS_CERT_FILE and
 * NATS_TLS_KEY_FILE (the own certificate, for a server that asks for one), or a `tls://` URL. Undefined: none of them, so that
 * TLS is used where the server asks for it. With any of them a server without TLS is refused.
 * @throws Error when a certificate comes without its key, or the other way round.
 */
export function natsTls(env: NodeJS.ProcessEnv = process.env): TlsOptions | undefined {
  const [caFile, certFile, keyFile] = ['CA', 'CERT', 'KEY'].map((name) => env[`NATS_TLS_${name}_FILE`] || undefined);
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new Error('NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE are set together or not at all');
  if (!caFile && !certFile && !/\btls:\/\//.test(env['NATS_URL'] ?? '')) return undefined;
  return { ...(caFile ? { caFile } : {}), ...(certFile && keyFile ? { certFile, keyFile } : {}) };
}

/** A value from NAME, or from the file that NAME_FILE names. */
export function secretFromEnvironment(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const file = env[`${name}_FILE`];
  if (file) {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      throw new Error(`${name}_FILE names ${file}, which cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  return env[name];
}
