import { runService } from '@meritorder/service-kit';
import { meteringModule } from './metering.module.js';

/** Rates usage, keeps the books, settles holds. */
await runService({ name: 'metering', module: meteringModule });
