import type { Model } from '../engine/model.js';

/** Configured models exist since the simulator began: a date that does not change between runs. */
const CREATED_SECONDS = 1_767_225_600;

export function openAiModel(model: Model, provider: string): unknown {
  const { contextTokens } = model.config;
  return {
    id: model.name,
    object: 'model',
    created: CREATED_SECONDS,
    owned_by: provider,
    ...(contextTokens === undefined ? {} : { max_model_len: contextTokens }),
  };
}

export function openAiModelList(models: Model[], provider: string): unknown {
  return { object: 'list', data: models.map((model) => openAiModel(model, provider)) };
}

export function anthropicModelList(models: Model[]): unknown {
  return {
    data: models.map(({ name }) => ({
      type: 'model',
      id: name,
      display_name: name,
      created_at: new Date(CREATED_SECONDS * 1_000).toISOString(),
    })),
    has_more: false,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  };
}
