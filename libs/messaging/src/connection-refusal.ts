import { errors } from '@nats-io/transport-node';
import { publicNKeyOf, type NatsCredentials } from './nats-credentials.js';

const { AuthorizationError, TimeoutError, UserAuthenticationExpiredError } = errors;

/** Said by TLS of the certificate that the server shows; `ERR_TLS_CERT_ALTNAME_INVALID` is of another name than that in the URL. */
const SERVER_CERTIFICATE = /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_CERT_)/;

/** As whom somebody connects, in the words of the configuration: an operator compares it with `nats.nkeys`. */
export function whoOf({ user, nkeySeed }: NatsCredentials): string {
  if (nkeySeed !== undefined) return `with the NKey ${publicNKeyOf(nkeySeed)}`;
  return user ? `as ${user}` : 'without a user';
}

/** The server knows nobody by these credentials, or not any more. */
export function isRefusal(error: Error): boolean {
  return error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError;
}

/** What to look at when a connection could not be made, by what was said. */
export function remedyOf(error: Error): string {
  if (isRefusal(error))
    return 'check NATS_USER and NATS_PASSWORD or NATS_NKEY_SEED, and that the server has read the newest nats.conf';
  if (SERVER_CERTIFICATE.test((error as NodeJS.ErrnoException).code ?? ''))
    return "check NATS_TLS_CA_FILE (who signed the server's certificate) and the name in NATS_URL";
  // With TLS 1.3 a client learns of it after its side of the handshake is done, and the client of NATS does not tell.
  if (error instanceof TimeoutError)
    return 'it does not answer, or takes no certificate of this client: check NATS_URL, NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE';
  return 'check NATS_URL, and NATS_TLS_CA_FILE, NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE where it has TLS';
}
