import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogle } from '@ai-sdk/google';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import type { SdkProtocol } from '@meritorder/dialect-core';
import { UpstreamError, type Credential } from '../../application/ports.js';

/**
 * A model of a provider's SDK, that calls with this credential and over this `fetch` alone. Every secret is given, empty where
 * there is none, since an SDK looks into the environment for what it is not given.
 * @throws UpstreamError where the credential is none for this protocol.
 */
export function sdkModel(
  protocol: SdkProtocol,
  model: string,
  { id, baseUrl: baseURL, region, apiKey, accessKey }: Credential,
  fetch: typeof globalThis.fetch,
): LanguageModelV4 {
  switch (protocol) {
    case 'gemini':
      return createGoogle({ baseURL, fetch, apiKey: apiKey ?? '' })(model);
    case 'anthropic':
      return createAnthropic({ baseURL, fetch, apiKey: apiKey ?? '' })(model);
    case 'bedrock':
      if (apiKey !== undefined) return createAmazonBedrock({ baseURL, fetch, region: region ?? '', apiKey })(model);
      if (accessKey === undefined || region === undefined)
        throw new UpstreamError('credential', `the credential ${id} needs an access key and a region, or an API key`, {
          retryable: true,
          sent: false,
          refusedUpstream: false,
        });
      return createAmazonBedrock({
        baseURL,
        fetch,
        region,
        apiKey: '',
        accessKeyId: accessKey.id,
        secretAccessKey: accessKey.secret,
        sessionToken: accessKey.sessionToken ?? '',
      })(model);
  }
}
