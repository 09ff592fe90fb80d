import { startProduct, type Product, type TestBackend } from './harness.js';
import { createHash } from 'node:crypto';

/** API keys of the orgs of a product that is asked over HTTP. */
export const ACME_KEY = 'sk-acme-test';
export const GLOBEX_KEY = 'sk-globex-test';
const digest = (key: string): string => createHash('sha256').update(key).digest('hex');

export async function startGatewayProduct(options: {
  backends: TestBackend[];
  config?: Record<string, unknown>;
  instances?: Parameters<typeof startProduct>[0]['instances'];
  env?: Record<string, string>;
  seeds?: Record<string, string>;
}): Promise<Product & { url: string }> {
  const product = await startProduct({
    ...options,
    config: {
      orgs: [
        { id: 'acme', departments: ['eng'], keys: [{ id: 'app', sha256: digest(ACME_KEY), department: 'eng' }] },
        { id: 'globex', keys: [{ id: 'app', sha256: digest(GLOBEX_KEY) }], routes: [options.backends[0]!.id] },
      ],
      ...options.config,
    },
  });
  return { ...product, url: product.stack.gatewayUrl };
}

/** A chat completion over plain HTTP. */
export function post(
  url: string,
  body: unknown,
  options: { headers?: Record<string, string>; signal?: AbortSignal; path?: string; key?: string } = {},
): Promise<Response> {
  return fetch(`${url}${options.path ?? '/v1/chat/completions'}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${options.key ?? ACME_KEY}`,
      ...options.headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
