import { z } from 'zod';
import { BetaName } from '../anthropic-betas.js';
import { Slug } from '../primitives.js';

/** Wires that a backend can be spoken to over. */
export const PROTOCOLS = ['openai', 'azure', 'anthropic', 'gemini', 'bedrock'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

const EnvironmentName = z.string().regex(/^[A-Z][A-Z0-9_]*$/);
const named = (what: string) =>
  EnvironmentName.optional().meta({ description: `Environment variable with the ${what}; NAME_FILE names a file.` });

export const BaseUrl = z.url({ protocol: /^https?$/ });
export const Region = z.string().regex(/^[a-z0-9-]{1,64}$/);

const CredentialConfig = z.strictObject({
  id: Slug,
  apiKeyEnv: named('API key'),
  accessKeyIdEnv: named('id of an AWS access key'),
  secretAccessKeyEnv: named('secret of that access key'),
  sessionTokenEnv: named('session token, where the access key is a temporary one'),
  baseUrl: BaseUrl.optional().meta({ description: "Where this one is used, if not at the backend's." }),
  region: Region.optional().meta({ description: "Where this one is used, if not in the backend's." }),
});
export type CredentialConfig = z.infer<typeof CredentialConfig>;

/** What a backend says of its provider, beside `protocol`. */
export const providerFields = {
  baseUrl: BaseUrl.optional().meta({
    description:
      "Including the version, for example https://api.openai.com/v1. Default: the provider's own, where `protocol` (anthropic, gemini, bedrock) or `provider` (openai, mistral, deepseek, groq, openrouter) says which that is.",
  }),
  betas: z.array(BetaName).max(16).optional().meta({
    description:
      'Of the protocol anthropic: features that are asked for with every request (the header anthropic-beta).',
  }),
  clientBetas: z.array(BetaName).max(16).optional().meta({
    description:
      'Of the protocol anthropic: further features that a client may ask for with a request of messages. Those that change no cost (claude-code-..., interleaved-thinking-..., context-management-... and such) it may in any case; others are left out unless they are named here, for example context-1m-2025-08-07, whose long prompts have a price of their own.',
  }),
  region: Region.optional().meta({
    description:
      'Where it processes requests, for example eu, of the protocol bedrock as the provider names it (eu-central-1); see `regions` of routes and tiers.',
  }),
  apiKeyEnv: named('API key'),
  credentials: z.array(CredentialConfig).min(1).max(64).optional().meta({
    description:
      'Several keys, accounts or regions: calls are spread over them, and one that is out of quota is left alone for as long as it says. `apiKeyEnv` is short for one.',
  }),
};

/** OpenAI-compatible endpoints, by the name that the price catalogue has for the provider. */
const OPENAI_COMPATIBLE: Readonly<Record<string, string>> = {
  openai: 'https://api.openai.com/v1',
  mistral: 'https://api.mistral.ai/v1',
  deepseek: 'https://api.deepseek.com/v1',
  groq: 'https://api.groq.com/openai/v1',
  openrouter: 'https://openrouter.ai/api/v1',
};

/** Undefined: there is none, or not without a region. */
export function defaultBaseUrl(protocol: Protocol, provider: string, region: string | undefined): string | undefined {
  switch (protocol) {
    case 'openai':
      return OPENAI_COMPATIBLE[provider];
    case 'azure':
      return undefined;
    case 'anthropic':
      return 'https://api.anthropic.com/v1';
    case 'gemini':
      return 'https://generativelanguage.googleapis.com/v1beta';
    case 'bedrock':
      return region === undefined ? undefined : `https://bedrock-runtime.${region}.amazonaws.com`;
  }
}

interface ProviderPart {
  protocol: Protocol;
  provider: string;
  baseUrl?: string | undefined;
  region?: string | undefined;
  apiKeyEnv?: string | undefined;
  credentials?: CredentialConfig[] | undefined;
}

/** The same with the URL that its calls go to; where there is none or the credentials do not fit, issues. */
export function withBaseUrl<B extends ProviderPart>(
  backend: B,
  issue: (path: (string | number)[], message: string) => void,
): B & { baseUrl: string } {
  const { protocol, provider, credentials = [] } = backend;
  const ids = new Set<string>();
  credentials.forEach((credential, i) => {
    const at = (name: string): (string | number)[] => ['credentials', i, name];
    if (ids.has(credential.id)) issue(at('id'), `"${credential.id}" is used twice`);
    ids.add(credential.id);
    const { apiKeyEnv, accessKeyIdEnv, secretAccessKeyEnv, sessionTokenEnv } = credential;
    if ((accessKeyIdEnv === undefined) !== (secretAccessKeyEnv === undefined))
      issue(at('accessKeyIdEnv'), 'accessKeyIdEnv and secretAccessKeyEnv go together');
    if ((accessKeyIdEnv ?? sessionTokenEnv) !== undefined && protocol !== 'bedrock')
      issue(at('accessKeyIdEnv'), 'access keys are for the protocol bedrock');
    if ((apiKeyEnv === undefined) === (accessKeyIdEnv === undefined))
      issue(at('apiKeyEnv'), 'needs exactly one of apiKeyEnv and accessKeyIdEnv with secretAccessKeyEnv');
  });
  if (backend.apiKeyEnv !== undefined && credentials.length > 0)
    issue(['apiKeyEnv'], 'is short for one of `credentials`; name it there');

  const everywhere = credentials.map((credential) => urlOf(backend, credential));
  const baseUrl = urlOf(backend) ?? everywhere[0];
  if (baseUrl === undefined || everywhere.includes(undefined))
    issue(
      ['baseUrl'],
      protocol === 'bedrock'
        ? 'needs a region, here or in each of its credentials'
        : `is needed: nothing says where "${provider}" is called`,
    );
  return { ...backend, baseUrl: baseUrl ?? '' };
}

/** Where a credential is used: what it says itself counts before what its backend says. */
export function urlOf(
  backend: ProviderPart,
  credential: Pick<CredentialConfig, 'baseUrl' | 'region'> = {},
): string | undefined {
  if (credential.baseUrl !== undefined) return credential.baseUrl;
  const elsewhere = credential.region !== undefined && credential.region !== backend.region;
  if (backend.baseUrl !== undefined && !elsewhere) return backend.baseUrl;
  return defaultBaseUrl(backend.protocol, backend.provider, credential.region ?? backend.region) ?? backend.baseUrl;
}

/** Every region that a backend, or one of its credentials, is in. */
export function regionsOf(
  backends: readonly { region?: string | undefined; credentials?: { region?: string | undefined }[] | undefined }[],
): ReadonlySet<string> {
  const named = backends.flatMap(({ region, credentials }) => [region, ...(credentials ?? []).map((c) => c.region)]);
  return new Set(named.filter((region) => region !== undefined));
}
