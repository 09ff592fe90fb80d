/** How a backend of Amazon Bedrock is configured that is asked in batches, where a simulated provider stands in for it. */

export const BEDROCK = {
  protocol: 'bedrock',
  region: 'eu-west-1',
  credentials: [{ id: 'main', accessKeyIdEnv: 'BEDROCK_KEY_ID', secretAccessKeyEnv: 'BEDROCK_SECRET' }],
};
export const BEDROCK_ENV = { BEDROCK_KEY_ID: 'AKIDEXAMPLE', BEDROCK_SECRET: 'secret-of-bedrock' };

export function bedrockPlaces(url: string, more: object = {}): object {
  return {
    input: 's3://calls/in',
    output: 's3://answers/out',
    roleArn: 'arn:aws:iam::123456789012:role/Batches',
    minRecords: 1,
    controlUrl: url,
    s3Url: `${url}/s3`,
    ...more,
  };
}

/** The jobs that the provider has, the newest first. */
export async function bedrockJobs(
  url: string,
): Promise<{ jobName: string; modelId: string; status: string; totalRecordCount: number }[]> {
  const authorization =
    'AWS4-HMAC-SHA256 Credential=test/20261124/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature=0';
  const reply = await fetch(`${url}/model-invocation-jobs?maxResults=1000`, { headers: { authorization } });
  return ((await reply.json()) as { invocationJobSummaries: any[] }).invocationJobSummaries;
}
