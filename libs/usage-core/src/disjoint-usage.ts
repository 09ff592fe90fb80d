import type { Usage, UsageUnit } from '@meritorder/contracts';

export type Modality = 'audio' | 'image' | 'video';
export type TokensOf = Partial<Record<Modality, number>>;

/** Counts as a dialect includes them in each other; every one a count. */
export interface InclusiveCounts {
  /** Every input token, of whatever kind. */
  input: number;
  /** Inside `input`. */
  cacheRead?: number | undefined;
  cacheWrite5m?: number | undefined;
  cacheWrite1h?: number | undefined;
  /** Every output token, reasoning too. */
  output: number;
  /** Inside `output`. */
  reasoning?: number | undefined;
  /** Inside `input`, cached ones too. */
  inputOf?: TokensOf | undefined;
  /** Inside `cacheRead`. */
  cacheReadOf?: TokensOf | undefined;
  /** Inside `output`. */
  outputOf?: TokensOf | undefined;
  /** What is no token of the counts above. */
  units?: Partial<Record<UsageUnit, number | undefined>> | undefined;
}

export interface Disjoint {
  usage: Usage;
  notes: string[];
}

const MODALITIES: readonly Modality[] = ['image', 'video', 'audio'];
const INPUT_UNIT = { audio: 'inputAudioTokens', image: 'inputImageTokens', video: 'inputVideoTokens' } as const;
const CACHE_UNIT = {
  audio: 'cacheReadAudioTokens',
  image: 'cacheReadImageTokens',
  video: 'cacheReadVideoTokens',
} as const;
const OUTPUT_UNIT = { audio: 'outputAudioTokens', image: 'outputImageTokens', video: 'outputVideoTokens' } as const;

/**
 * The disjoint vector of inclusive counts. Its tokens add up to `input + output`, whatever the parts say: a part that is larger
 * than what contains it is clamped, and said to be.
 */
export function disjointUsage(counts: InclusiveCounts): Disjoint {
  const notes: string[] = [];
  const clamp = (name: string, part: number | undefined, whole: number): number => {
    if (part === undefined || part <= whole) return part ?? 0;
    notes.push(`clamped:${name}`);
    return whole;
  };
  const units: Partial<Record<UsageUnit, number>> = {};
  const cacheRead = clamp('cacheRead', counts.cacheRead, counts.input);

  const inputOf: Required<TokensOf> = { audio: 0, image: 0, video: 0 };
  let plain = counts.input;
  for (const kind of MODALITIES) plain -= inputOf[kind] = clamp(INPUT_UNIT[kind], counts.inputOf?.[kind], plain);
  // What the backend does not say of the cached tokens' kind is taken to be text.
  const cachedOf: Required<TokensOf> = { audio: 0, image: 0, video: 0 };
  let cached = cacheRead;
  for (const kind of MODALITIES)
    cached -= cachedOf[kind] = Math.min(cached, clamp(CACHE_UNIT[kind], counts.cacheReadOf?.[kind], inputOf[kind]));
  const cachedPlain = Math.min(cached, plain);
  cached -= cachedPlain;
  for (const kind of MODALITIES) {
    const more = Math.min(cached, inputOf[kind] - cachedOf[kind]);
    cachedOf[kind] += more;
    cached -= more;
    set(units, CACHE_UNIT[kind], cachedOf[kind]);
    set(units, INPUT_UNIT[kind], inputOf[kind] - cachedOf[kind]);
  }
  let fresh = plain - cachedPlain;
  const cacheWrite1h = clamp('cacheWrite1h', counts.cacheWrite1h, fresh);
  fresh -= cacheWrite1h;
  const cacheWrite5m = clamp('cacheWrite5m', counts.cacheWrite5m, fresh);
  fresh -= cacheWrite5m;

  let output = counts.output;
  for (const kind of MODALITIES) {
    const of = clamp(OUTPUT_UNIT[kind], counts.outputOf?.[kind], output);
    output -= of;
    set(units, OUTPUT_UNIT[kind], of);
  }
  const reasoning = clamp('reasoning', counts.reasoning, output);
  for (const [unit, count] of Object.entries(counts.units ?? {})) set(units, unit as UsageUnit, count ?? 0);
  return {
    usage: {
      inputTokens: fresh,
      cacheReadTokens: cachedPlain,
      cacheWrite5mTokens: cacheWrite5m,
      cacheWrite1hTokens: cacheWrite1h,
      outputTokens: output,
      requests: 1,
      ...(reasoning > 0 ? { reasoningTokens: reasoning } : {}),
      ...(Object.keys(units).length > 0 ? { units } : {}),
    },
    notes,
  };
}

function set(units: Partial<Record<UsageUnit, number>>, unit: UsageUnit, count: number): void {
  if (count > 0) units[unit] = count;
}
