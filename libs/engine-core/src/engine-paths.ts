/** Read once in a while: what the engine is, and what it may take at once. Relative to the engine's root, not to `/v1`. */
export const IDENTITY_PATHS = [
  '/v1/models',
  '/props',
  '/info',
  '/get_server_info',
  '/version',
  '/api/ps',
  '/api/version',
] as const;
/** Read every time: how busy it is. */
export const LOAD_PATHS = ['/metrics'] as const;

export type EnginePath = (typeof IDENTITY_PATHS)[number] | (typeof LOAD_PATHS)[number];
/** The body by path; undefined: no answer, or one that is not 200. */
export type EngineAnswers = Partial<Record<EnginePath, string | undefined>>;

/** `http://gpu:8000` of a base URL that ends in a version, as OpenAI clients have it. */
export function engineRoot(baseUrl: string): string {
  return baseUrl.replace(/\/+$/, '').replace(/\/v\d+$/, '');
}
