import { runService } from '@meritorder/service-kit';
import { workerModule } from '@meritorder/worker-kit';

/** Calls cloud providers: every backend of kind `cloud`. */
await runService({
  name: 'provider-worker',
  module: (context) =>
    workerModule(
      'provider-worker',
      context,
      context.config.backends.filter((b) => b.kind === 'cloud'),
    ),
});
