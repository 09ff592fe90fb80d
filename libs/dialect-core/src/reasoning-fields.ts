/**
 * Where servers that speak OpenAI's chat completions put what a model thought, in a message of its answer: DeepSeek and the
 * translations here, vLLM, OpenRouter.
 */
export const REASONING_FIELDS = ['reasoning_content', 'reasoning', 'reasoning_details'] as const;
