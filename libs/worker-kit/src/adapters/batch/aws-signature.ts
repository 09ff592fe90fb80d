import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import { UpstreamError, type Credential } from '../../application/ports.js';

interface AwsCall {
  url: string;
  method?: 'GET' | 'POST' | 'PUT';
  headers?: Record<string, string>;
  body?: string;
}

/** The same with the signature of an access key, by the library that the SDK of Bedrock signs with. @throws UpstreamError */
export async function signed(
  service: 'bedrock' | 's3',
  { id, accessKey, region }: Credential,
  { url, method = 'GET', headers = {}, body }: AwsCall,
): Promise<RequestInit> {
  if (accessKey === undefined || region === undefined)
    throw new UpstreamError('credential', `the credential ${id} needs an access key and a region`, {
      retryable: true,
      sent: false,
      refusedUpstream: false,
    });
  const signer = new AwsV4Signer({
    service,
    region,
    url,
    method,
    // The library leaves what S3 is sent unsigned where nobody says what it is.
    headers: {
      ...headers,
      'x-amz-content-sha256': createHash('sha256')
        .update(body ?? '')
        .digest('hex'),
    },
    ...(body === undefined ? {} : { body }),
    accessKeyId: accessKey.id,
    secretAccessKey: accessKey.secret,
    ...(accessKey.sessionToken === undefined ? {} : { sessionToken: accessKey.sessionToken }),
  });
  return { method, headers: (await signer.sign()).headers, ...(body === undefined ? {} : { body }) };
}
