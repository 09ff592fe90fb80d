import { runService } from '@meritorder/service-kit';
import { routerModule } from './router.module.js';

/** Decides where each request runs and reserves what it may cost. */
await runService({ name: 'router', module: routerModule });
