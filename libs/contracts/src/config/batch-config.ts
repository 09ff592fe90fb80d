import { z } from 'zod';
import type { Kind } from '../primitives.js';
import type { Protocol } from './providers-config.js';

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
});
export type BatchConfig = z.infer<typeof BatchConfig>;

const BATCH_PROTOCOLS: readonly Protocol[] = ['openai', 'azure', 'anthropic', 'gemini'];

interface BatchPart {
  kind: 'cloud' | 'local';
  protocol: Protocol;
  kinds?: readonly Kind[] | undefined;
  batch?: BatchConfig | undefined;
}

/** What a backend that is asked in batches says beside that must go with it. */
export function checkBatch(
  { batch, kind, protocol, kinds }: BatchPart,
  issue: (path: (string | number)[], message: string) => void,
): void {
  if (!batch) return;
  if (kind !== 'cloud' || !BATCH_PROTOCOLS.includes(protocol))
    issue(['batch'], `batches are sent to cloud backends of the protocols ${BATCH_PROTOCOLS.join(', ')}`);
  // Azure's guide to batches has chat completions alone; a batch of anything else would be refused as a whole.
  if (protocol === 'azure' && kinds?.includes('embeddings'))
    issue(['kinds'], 'Azure takes no embeddings in batches, chat completions alone');
}
