import { runService } from '@meritorder/service-kit';
import { gatewayModule } from './gateway.module.js';

/** The HTTP edge for clients of OpenAI and Anthropic. */
await runService({ name: 'gateway', servesHealth: true, module: gatewayModule });
