import { parseJson } from '@meritorder/kernel';

/** `/openai` is the SDK's own for an `endpoint`, `/v1` of whoever names that as `baseURL`. */
const DEPLOYMENT = /^\/(?:openai|v1)\/deployments\/([^/]+)(\/chat\/completions|\/embeddings)$/;

/**
 * A path without its query. `AzureOpenAI` of OpenAI's SDK asks for the model by its path, as a deployment: that is the same call.
 * Whichever `api-version` is asked for, there is one.
 */
export function askedPath(url: string): { path: string; deployment?: string } {
  const path = url.split('?', 1)[0]!;
  const [, name, call] = DEPLOYMENT.exec(path) ?? [];
  const deployment = name === undefined ? undefined : decoded(name);
  return deployment === undefined ? { path } : { path: `/v1${call}`, deployment };
}

function decoded(name: string): string | undefined {
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}

/** The body with the model that its path names. What is no JSON object is passed on as it came: the router says what is wrong. */
export function withDeployment(body: Buffer, deployment: string): Buffer {
  let asked: unknown;
  try {
    asked = parseJson(body.toString('utf8'));
  } catch {
    return body;
  }
  if (typeof asked !== 'object' || asked === null || Array.isArray(asked)) return body;
  if ((asked as { model?: unknown }).model === deployment) return body;
  return Buffer.from(JSON.stringify({ ...asked, model: deployment }));
}
