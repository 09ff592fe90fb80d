import { urlOf, type BackendConfig, type CredentialConfig } from '@meritorder/contracts';
import { secretFromEnvironment } from '@meritorder/messaging';
import type { Credential } from '../application/ports.js';

/**
 * The credentials of a backend: those that it lists, the one that `apiKeyEnv` is short for, or one without any secret.
 * @throws Error naming the variable of a secret that is configured but not there.
 */
export function credentialsFromEnvironment(backend: BackendConfig, env: NodeJS.ProcessEnv): Credential[] {
  const secret = (name: string | undefined): string | undefined => {
    if (name === undefined) return undefined;
    const value = secretFromEnvironment(name, env);
    if (!value) throw new Error(`the backend ${backend.id} needs ${name} or ${name}_FILE in the environment`);
    return value;
  };
  const listed: CredentialConfig[] = backend.credentials ?? [{ id: 'default', apiKeyEnv: backend.apiKeyEnv }];
  return listed.map((credential) => {
    const id = secret(credential.accessKeyIdEnv);
    const accessKeySecret = secret(credential.secretAccessKeyEnv);
    return {
      id: credential.id,
      baseUrl: (urlOf(backend, credential) ?? backend.baseUrl).replace(/\/+$/, ''),
      region: credential.region ?? backend.region,
      apiKey: secret(credential.apiKeyEnv),
      ...(id === undefined || accessKeySecret === undefined
        ? {}
        : { accessKey: { id, secret: accessKeySecret, sessionToken: secret(credential.sessionTokenEnv) } }),
    };
  });
}
