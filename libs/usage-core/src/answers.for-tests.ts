/** Whole answers as the dialects have them, with what they say of their usage and whatever more. */
export const chat = (usage: unknown, more: object = {}) => ({
  object: 'chat.completion',
  model: 'm',
  choices: [],
  usage,
  ...more,
});
export const responses = (usage: unknown, more: object = {}) => ({
  object: 'response',
  status: 'completed',
  model: 'm',
  usage,
  ...more,
});
export const message = (usage: unknown, more: object = {}) => ({
  type: 'message',
  role: 'assistant',
  model: 'm',
  usage,
  ...more,
});
export const gemini = (usageMetadata: unknown, more: object = {}) => ({
  candidates: [{ finishReason: 'STOP' }],
  usageMetadata,
  ...more,
});
