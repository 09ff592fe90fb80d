import type { BackendConfig } from '@meritorder/contracts';
import { CredentialPool } from './credential-pool.js';
import { UpstreamError, type Credential, type ProviderUpstream, type Upstream, type UpstreamRequest } from './ports.js';

/** The pools of a worker: one for each backend, whatever kinds it is asked for. */
export class CredentialPools {
  private readonly pools = new Map<string, { baseUrl: string; pool: CredentialPool }>();

  /** @throws whatever `credentialsOf` does, for backends that are there from the beginning */
  constructor(
    backends: readonly BackendConfig[],
    private readonly credentialsOf: (backend: BackendConfig) => readonly Credential[],
    private readonly nowMs: () => number,
  ) {
    for (const backend of backends) this.of(backend);
  }

  /** Of a backend that joined later, or has another address now, made when it is asked for. */
  of(backend: BackendConfig): CredentialPool {
    const known = this.pools.get(backend.id);
    if (known !== undefined && known.baseUrl === backend.baseUrl) return known.pool;
    const pool = new CredentialPool(this.credentialsOf(backend), this.nowMs);
    this.pools.set(backend.id, { baseUrl: backend.baseUrl, pool });
    return pool;
  }
}

/**
 * A wire whose calls are spread over the credentials of their backend. What one of them is refused counts against that one: the
 * failure says `again` while another is free, and for how long nobody is to ask where none is.
 */
export class CredentialedUpstream implements Upstream {
  readonly dialect;
  readonly marks: boolean;

  constructor(
    private readonly wire: ProviderUpstream,
    private readonly pools: CredentialPools,
  ) {
    this.dialect = wire.dialect;
    this.marks = wire.marks ?? false;
  }

  async complete(request: UpstreamRequest): Promise<Record<string, unknown>> {
    const pool = this.pools.of(request.backend);
    const credential = taken(pool, request);
    try {
      const answer = await this.wire.complete({ ...request, credential });
      pool.giveBack(credential);
      return answer;
    } catch (error) {
      throw givenBack(pool, credential, error);
    }
  }

  /** Not a generator: there every chunk would pass through one more. */
  stream(request: UpstreamRequest): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => new CredentialedStream(this.pools.of(request.backend), this.wire, request) };
  }
}

class CredentialedStream implements AsyncIterator<string> {
  private readonly credential: Credential;
  private readonly chunks: AsyncIterator<string>;
  private isBack = false;

  constructor(
    private readonly pool: CredentialPool,
    wire: ProviderUpstream,
    request: UpstreamRequest,
  ) {
    const credential = taken(pool, request);
    this.credential = credential;
    this.chunks = wire.stream({ ...request, credential })[Symbol.asyncIterator]();
  }

  next(): Promise<IteratorResult<string>> {
    return this.chunks.next().then(this.came, this.failed);
  }

  /** Whoever reads has enough. */
  async return(): Promise<IteratorResult<string>> {
    try {
      await this.chunks.return?.();
    } finally {
      this.giveBack();
    }
    return { done: true, value: undefined };
  }

  private readonly came = (result: IteratorResult<string>): IteratorResult<string> => {
    if (result.done) this.giveBack();
    return result;
  };

  private readonly failed = (error: unknown): never => {
    if (this.isBack) throw error;
    this.isBack = true;
    throw givenBack(this.pool, this.credential, error);
  };

  private giveBack(): void {
    if (this.isBack) return;
    this.isBack = true;
    this.pool.giveBack(this.credential);
  }
}

function taken(pool: CredentialPool, { backend }: UpstreamRequest): Credential {
  const credential = pool.take();
  if (credential) return credential;
  throw new UpstreamError('quota', `every credential of ${backend.id} is refused or out of quota`, {
    retryable: true,
    sent: false,
    refusedUpstream: false,
    retryAfterSeconds: pool.freeInMs / 1_000,
  });
}

function givenBack(pool: CredentialPool, credential: Credential, error: unknown): unknown {
  if (!(error instanceof UpstreamError)) {
    pool.giveBack(credential, { code: 'protocol' });
    return error;
  }
  const { code, details } = error;
  const freeInMs = pool.giveBack(credential, { code, retryAfterSeconds: details.retryAfterSeconds });
  const message = withoutSecrets(error.message, credential);
  const ofCredential = code === 'quota' || code === 'credential';
  if (!ofCredential && message === error.message) return error;
  return new UpstreamError(code, ofCredential ? `${message} (credential ${credential.id})` : message, {
    ...details,
    ...(!ofCredential ? {} : freeInMs === 0 ? { again: true } : { retryAfterSeconds: freeInMs / 1_000 }),
  });
}

/** Some servers quote what they were sent. */
function withoutSecrets(message: string, { apiKey, accessKey }: Credential): string {
  return [apiKey, accessKey?.secret, accessKey?.sessionToken]
    .filter((secret) => secret !== undefined && secret !== '')
    .reduce<string>((text, secret) => text.replaceAll(secret!, '***'), message);
}
