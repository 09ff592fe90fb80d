import type { EngineTimings, ServiceTier, Usage, UsageBasis } from '@meritorder/contracts';
import { readInput } from '@meritorder/estimate-core';
import { estimatedUsage, type UsageReader } from '@meritorder/usage-core';

/** What is known of a call when it is closed; what is absent was not said. */
export interface CallFacts {
  usage?: Usage;
  usageBasis?: UsageBasis;
  servedModel?: string;
  servedTier?: ServiceTier;
  timings?: EngineTimings;
  providerCallId?: string;
}

/** How a call ended, as far as its usage goes. */
export interface CallEnd {
  /** Whether what was generated is what was heard: a stream, or an answer that came whole. */
  heard: boolean;
  inputTokensExpected: number | undefined;
  /** Whether it is booked by what the backend says that it was charged. */
  booksStated: boolean;
}

/**
 * The facts of a call from what its backend said. A usage that was not said, or that is not the last word because the stream
 * was cut, is the input that was expected and the output that was heard, marked as estimated. An answer that was neither
 * streamed nor heard has no usage: nobody here knows how much of it was generated.
 */
export function callFacts(reader: UsageReader, { heard, inputTokensExpected, booksStated }: CallEnd): CallFacts {
  const { complete, usage, basis, servedModel, servedTier, timings, providerCallId, statedPicos } = reader.read();
  const said = {
    ...(servedModel === undefined ? {} : { servedModel }),
    ...(servedTier === undefined ? {} : { servedTier }),
    ...(timings === undefined ? {} : { timings }),
    ...(providerCallId === undefined ? {} : { providerCallId }),
  };
  if (complete && usage && basis) {
    const stated = booksStated && statedPicos !== undefined ? { statedPicos: statedPicos.toString() } : {};
    return { ...said, usage: { ...usage, ...stated }, usageBasis: basis };
  }
  const estimate = heard
    ? estimatedUsage({ inputTokensExpected, reported: usage, outputTokensSeen: reader.outputTokensSeen })
    : undefined;
  return estimate ? { ...said, usage: estimate, usageBasis: 'estimated' } : said;
}

/** Tokens of generated text by the classes of its characters: linear in its length, and of no model in particular. */
export function countGenerated(text: string): number {
  return readInput({ ...NO_PARTS, texts: [text] }).tokens(undefined).text;
}

const NO_PARTS = {
  toolTexts: [],
  messages: 0,
  tools: 0,
  builtInTools: 0,
  images: 0,
  files: 0,
  audios: 0,
  others: 0,
  unknownBytes: 0,
};
