import type {
  BatchAccount,
  BatchApi,
  BatchCall,
  BatchEnds,
  FoundBatch,
  SoughtBatch,
} from '../../application/batch/batch-ports.js';
import { ask, deleteFiles, endsIn, idOf, NAME, named, posted, uploadFile } from './batch-files.js';

/** The newest so many are looked through for a name. */
const PAGE = 100;
/** What Mistral allows. */
const MOST_HOURS = 168;
const HOUR_SECONDS = 3_600;

/** Mistral's: a file of calls, and a job for it that names their model and how long it may take. */
export class MistralBatches implements BatchApi {
  async submit(account: BatchAccount, name: string, calls: readonly BatchCall[]): Promise<string> {
    const { batch, model } = account.backend;
    const lines = calls.map(({ id, body: { model: _model, ...body } }) => JSON.stringify({ custom_id: id, body }));
    const file = await uploadFile(account, name, lines);
    const hours = Math.ceil((batch?.completionSeconds ?? 24 * HOUR_SECONDS) / HOUR_SECONDS);
    return idOf(
      await ask(
        account,
        '/batch/jobs',
        posted({
          input_files: [file],
          endpoint: `/v1${calls[0]!.path}`,
          model,
          metadata: { [NAME]: name },
          timeout_hours: Math.min(MOST_HOURS, hours),
        }),
      ),
    );
  }

  async find(account: BatchAccount, { name }: SoughtBatch): Promise<FoundBatch | undefined> {
    return named((await ask(account, `/batch/jobs?page=0&page_size=${PAGE}`))['data'] ?? [], name);
  }

  async ends(account: BatchAccount, providerId: string): Promise<BatchEnds | undefined> {
    const job = await ask(account, `/batch/jobs/${encodeURIComponent(providerId)}`);
    const { status } = job;
    switch (status) {
      case 'SUCCESS':
      case 'FAILED':
      case 'TIMEOUT_EXCEEDED':
      case 'CANCELLED': {
        const of = await endsIn(account, [job['output_file'], job['error_file']]);
        const { input_files: inputs } = job;
        await deleteFiles(account, Array.isArray(inputs) ? inputs : []);
        // What was answered is charged: a line that is in no file was not run only where all that were are told.
        const answered = [...of.values()].filter((end) => 'reply' in end && end.reply.status < 400).length;
        if (status === 'SUCCESS' || answered < Number(job['succeeded_requests'] ?? 0)) return { of, others: undefined };
        const errors = JSON.stringify(job['errors'] ?? []);
        return { of, others: { notRun: `the batch ended as ${status.toLowerCase()}: ${errors}` } };
      }
    }
    return undefined;
  }

  async cancel(account: BatchAccount, providerId: string): Promise<void> {
    await ask(account, `/batch/jobs/${encodeURIComponent(providerId)}/cancel`, { method: 'POST' });
  }
}
