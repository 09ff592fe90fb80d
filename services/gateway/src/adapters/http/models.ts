import type { MeritorderConfig } from '@meritorder/contracts';
import { anthropic } from '../../application/dialects/anthropic.js';
import {
  anthropicModel,
  anthropicModels,
  modelNamed,
  modelsOf,
  openAiModel,
  openAiModels,
} from '../../application/list-models.js';
import { refusalAnswer } from '../../application/relay.js';
import type { Answering } from './http-edge.js';

/** `/v1/models` and, with an id, one of them. */
export function answerModels(
  config: Pick<MeritorderConfig, 'orgs' | 'routes' | 'backends'>,
  org: string,
  id: string,
  { http, dialect, requestId }: Answering,
): void {
  const [list, one] = dialect === anthropic ? [anthropicModels, anthropicModel] : [openAiModels, openAiModel];
  const found = id === '' ? undefined : modelNamed(config, org, id);
  if (id !== '' && !found)
    return http.send(
      refusalAnswer(dialect, requestId, {
        code: 'route_unknown',
        message: 'There is no such model; GET /v1/models lists them.',
      }),
    );
  http.send({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(found ? one(found) : list(modelsOf(config, org)))),
  });
}
