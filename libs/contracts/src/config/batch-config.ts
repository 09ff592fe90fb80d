import { z } from 'zod';
import type { Kind } from '../primitives.js';
import { BaseUrl, type CredentialConfig, type Protocol } from './providers-config.js';

/** Without dots, which would be no host of the certificate of S3. */
const S3Place = z.string().regex(/^s3:\/\/[a-z0-9][a-z0-9-]{1,61}[a-z0-9](\/[A-Za-z0-9._-]+)*\/?$/);

/** What Amazon Bedrock needs beside: it reads calls from one bucket and writes answers into another, as a role. */
export const BedrockBatchConfig = z.strictObject({
  input: S3Place.meta({
    description:
      'Where the calls of a batch are written for it, for example s3://calls/in. In the region of the model.',
  }),
  output: S3Place.meta({ description: 'Where it writes how they ended. What is in both places stays there.' }),
  roleArn: z
    .string()
    .regex(/^arn:aws(-[a-z-]+)?:iam::[0-9]{12}:role\/.+$/)
    .meta({ description: 'As whom it reads and writes there.' }),
  minRecords: z.int().min(1).max(10_000).default(100).meta({
    description:
      'It refuses jobs with fewer records: its quota "Minimum number of records per batch inference job" of the model. Until so many jobs are there a batch waits for more, beyond `collectSeconds`; a job whose deadline leaves no more than `completionSeconds` is called at once then.',
  }),
  format: z.enum(['converse', 'messages']).default('converse').meta({
    description:
      "How a record is written: as Converse is asked, which every model takes, or messages for Anthropic's models (InvokeModel), which may have tools too.",
  }),
  controlUrl: BaseUrl.optional().meta({
    description: 'Where its jobs are asked for. Default: https://bedrock.<region>.amazonaws.com.',
  }),
  s3Url: BaseUrl.optional().meta({
    description: 'Where buckets are paths. Default: https://<bucket>.s3.<region>.amazonaws.com.',
  }),
});
export type BedrockBatchConfig = z.infer<typeof BedrockBatchConfig>;

/** How a backend that is asked in batches is asked. */
export const BatchConfig = z.strictObject({
  completionSeconds: z.int().min(1).max(518_400).default(86_400).meta({
    description: 'Within which the provider ends a batch. A job with less time than this goes elsewhere.',
  }),
  collectSeconds: z.number().min(0.1).max(3_600).default(30).meta({
    description: 'How long a batch waits for more jobs after its first.',
  }),
  maxBytes: z.int().min(1_024).max(6_000_000).default(4_000_000).meta({
    description: 'Of all jobs in one batch, as a worker keeps it.',
  }),
  pollSeconds: z.number().min(0.1).max(3_600).default(30).meta({
    description: 'How soon it is asked whether a batch has ended; less often the older the batch is.',
  }),
  bedrock: BedrockBatchConfig.optional().meta({ description: 'Of the protocol bedrock, and needed there.' }),
});
export type BatchConfig = z.infer<typeof BatchConfig>;

const BATCH_PROTOCOLS: readonly Protocol[] = ['openai', 'azure', 'anthropic', 'gemini', 'bedrock'];

interface BatchPart {
  kind: 'cloud' | 'local';
  protocol: Protocol;
  kinds?: readonly Kind[] | undefined;
  capabilities: readonly string[];
  maxConcurrency: number;
  region?: string | undefined;
  credentials?: readonly CredentialConfig[] | undefined;
  batch?: BatchConfig | undefined;
}
type Issue = (path: (string | number)[], message: string) => void;

/** What a backend that is asked in batches says beside that must go with it. */
export function checkBatch(backend: BatchPart, issue: Issue): void {
  const { batch, kind, protocol, kinds } = backend;
  if (!batch) return;
  if (kind !== 'cloud' || !BATCH_PROTOCOLS.includes(protocol))
    issue(['batch'], `batches are sent to cloud backends of the protocols ${BATCH_PROTOCOLS.join(', ')}`);
  // Azure's guide to batches has chat completions alone; a batch of anything else would be refused as a whole.
  if (protocol === 'azure' && kinds?.includes('embeddings'))
    issue(['kinds'], 'Azure takes no embeddings in batches, chat completions alone');
  if ((protocol === 'bedrock') !== (batch.bedrock !== undefined))
    issue(['batch', 'bedrock'], 'says where the protocol bedrock has its batches: it is needed there, and only there');
  if (batch.bedrock) checkBedrock(backend, batch.bedrock, issue);
}

function checkBedrock(
  { capabilities, maxConcurrency, region, credentials = [] }: BatchPart,
  { minRecords, format }: BedrockBatchConfig,
  issue: Issue,
): void {
  if (maxConcurrency < minRecords)
    issue(['maxConcurrency'], `is the most jobs in a batch, and Bedrock takes none with fewer than ${minRecords}`);
  if (format === 'converse' && capabilities.includes('tools'))
    issue(['capabilities'], 'Bedrock takes no tools in batches of the format converse');
  // Buckets are opened by signatures, which an API key has not, and each is in one region.
  if (credentials.length === 0 || credentials.some((c) => c.accessKeyIdEnv === undefined))
    issue(['credentials'], 'batches of Bedrock need access keys: its API keys open no bucket');
  const regions = new Set(credentials.map((c) => c.region ?? region));
  if (regions.size > 1) issue(['credentials'], 'batches of Bedrock have buckets in one region, and so its credentials');
  if (regions.has(undefined)) issue(['region'], 'batches of Bedrock are signed for a region');
}
