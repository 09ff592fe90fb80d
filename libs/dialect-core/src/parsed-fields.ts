/**
 * What OpenAI's own SDK adds to an answer that it parsed (`.parse()`, `runTools` with a format): to a message, and to the function
 * of a call. It is for its caller's eyes, says again what is there as text, and goes back with the conversation.
 */
export const PARSED = 'parsed';
export const PARSED_ARGUMENTS = 'parsed_arguments';
