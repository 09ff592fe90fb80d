import { runService } from '@meritorder/service-kit';
import { workerModule } from '@meritorder/worker-kit';

/** Runs on a GPU host, beside its engine: every backend of kind `local` whose host is MERITORDER_HOST. */
await runService({
  name: 'local-worker',
  module: (context) => {
    const host = context.env['MERITORDER_HOST'];
    const hosts = [...new Set(context.config.backends.flatMap((b) => b.host ?? []))];
    if (!host || !hosts.includes(host)) {
      throw new Error(
        `set MERITORDER_HOST to the host of this worker; the configuration has: ${hosts.join(', ') || 'none'}`,
      );
    }
    return workerModule(
      'local-worker',
      context,
      context.config.backends.filter((b) => b.host === host),
    );
  },
});
