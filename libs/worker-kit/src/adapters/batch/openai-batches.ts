import type {
  BatchAccount,
  BatchApi,
  BatchCall,
  BatchEnds,
  FoundBatch,
  SoughtBatch,
} from '../../application/batch/batch-ports.js';
import { ask, AZURE, deleteFiles, endsIn, idOf, NAME, named, posted, uploadFile, type Json } from './batch-files.js';

/** The newest so many are looked through for a name. */
const PAGE = 100;

/**
 * OpenAI's, and Azure's: a file of calls, answered within a day into a file of answers and one of errors, which are not charged.
 */
export class OpenAiBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const { path } = calls[0]!;
    // Azure names calls without the version.
    const endpoint = account.backend.protocol === AZURE ? path : `/v1${path}`;
    const lines = calls.map(({ id, body }) => JSON.stringify({ custom_id: id, method: 'POST', url: endpoint, body }));
    const file = await uploadFile(account, name, lines);
    const metadata = { [NAME]: name };
    return idOf(
      await ask(account, '/batches', posted({ input_file_id: file, endpoint, completion_window: '24h', metadata })),
    );
  }

  async find(account: BatchAccount, { name }: SoughtBatch): Promise<FoundBatch | undefined> {
    return named((await ask(account, `/batches?limit=${PAGE}`))['data'], name);
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const batch = await ask(account, `/batches/${encodeURIComponent(providerId)}`);
    const ends = await endsOf(account, batch);
    if (ends && account.backend.protocol === AZURE) await deleteFiles(account, [batch['input_file_id']]);
    return ends;
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    await ask(account, `/batches/${encodeURIComponent(providerId)}/cancel`, { method: 'POST' });
  }
}

async function endsOf(account: BatchAccount, batch: Json): Promise<BatchEnds | undefined> {
  switch (batch['status']) {
    case 'failed':
      return { of: new Map(), others: { notRun: `the batch was refused: ${JSON.stringify(batch['errors'])}` } };
    case 'completed':
    case 'expired':
    case 'cancelled': {
      const of = await endsIn(account, [batch['output_file_id'], batch['error_file_id']]);
      // What was run before a batch was cancelled is in its output, and alone charged for.
      const others = batch['status'] === 'cancelled' ? { notRun: 'the batch was cancelled' } : undefined;
      return { of, others };
    }
  }
  return undefined;
}
