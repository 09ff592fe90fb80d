import type { CacheHits } from '../cache/cache-hits.js';
import { emptyPrefixCache, rememberSentPlaces, type PrefixCache, type SentPlaces } from '../cache/prefix-cache.js';
import type { ExactTokenizer } from '../input/density-bands.js';
import { inputPrior, lentInput, type InputLearning } from '../input/input-learning.js';
import { unlearnedLengths, type OutputLengths } from '../output/output-lengths.js';
import { boundedByOrg, type BoundedByOrg } from './bounded-by-org.js';

export interface LearnedSettings {
  /** The public tokenizer of a model, where there is one. */
  tokenizerOf(model: string): ExactTokenizer | undefined;
  /**
   * Whether an org takes part in the pool: what it shows is learned there too, and what others showed there stands in where it
   * has not learned yet. Nothing of an org is in any other place but its own.
   */
  sharesLearning(org: string): boolean;
}

/**
 * The most that is kept: answers' lengths of a key take 4.4 KB of memory and at most 6 KB of a snapshot, a prefix cache 2,048
 * places of about 60 bytes. All together at most 18 + 2 + 1 + 32 MB.
 */
export const LEARNED_LIMITS = {
  lengths: { perOrg: 256, total: 4_096 },
  inputs: { perOrg: 64, total: 2_048 },
  hits: { perOrg: 256, total: 4_096 },
  caches: { perOrg: 64, total: 256 },
} as const;

/** All that a router has learned of what requests need: state without I/O and without a clock. */
export interface Learned {
  readonly settings: LearnedSettings;
  readonly lengths: BoundedByOrg<OutputLengths>;
  readonly inputs: BoundedByOrg<InputLearning>;
  readonly hits: BoundedByOrg<CacheHits>;
  /** Prefixes sent by this process lately; not part of snapshots, since providers forget them within the hour. */
  readonly caches: BoundedByOrg<PrefixCache>;
}

export function emptyLearned(settings: LearnedSettings): Learned {
  return {
    settings,
    lengths: boundedByOrg(LEARNED_LIMITS.lengths),
    inputs: boundedByOrg(LEARNED_LIMITS.inputs),
    hits: boundedByOrg(LEARNED_LIMITS.hits),
    caches: boundedByOrg(LEARNED_LIMITS.caches),
  };
}

/** The pool's place among the orgs; no org's id is empty. */
export const POOL = '';

/**
 * Whether another org's snapshot, or an attempt of any org, takes nothing from others. Whoever keeps snapshots lets whole orgs go
 * until there is: what an org has lost a part of is no longer worth keeping in the place of what it had.
 */
export function hasRoom({ lengths, inputs, hits }: Learned): boolean {
  return lengths.hasRoom && inputs.hasRoom && hits.hasRoom;
}

/** All that a snapshot of the org holds, or of the POOL; which prefixes it sent stays known. */
export function forgetOrg({ lengths, inputs, hits }: Learned, org: string): void {
  for (const of of [lengths, inputs, hits]) of.forget(org);
}

/** What an answer's length depends on. Org, route and backend are slugs. */
export interface LengthKeys {
  readonly org: string;
  readonly route: string;
  readonly task?: string | undefined;
  readonly backend: string;
}

/** Where lengths are learned, the most general first: the route in the pool, then in the org, with its task, at one backend. */
function placesOf(learned: Learned, { org, route, task, backend }: LengthKeys): readonly [org: string, key: string][] {
  const ofTask = task === undefined ? '' : `=${task}`;
  return [
    ...(learned.settings.sharesLearning(org) ? [[POOL, route] as [string, string]] : []),
    [org, route],
    ...(task === undefined ? [] : [[org, `${route}//${ofTask}`] as [string, string]]),
    [org, `${route}/${backend}/${ofTask}`],
  ];
}

/** The chain of what is known of the lengths of such answers; undefined where nothing is. */
export function lengthsOf(learned: Learned, keys: LengthKeys): readonly (OutputLengths | undefined)[] {
  return placesOf(learned, keys).map(([org, key]) => learned.lengths.get(org, key));
}

/** The same, with a place for each key to learn in. */
export function lengthsToLearn(learned: Learned, keys: LengthKeys): readonly OutputLengths[] {
  let parent: OutputLengths | undefined;
  return placesOf(learned, keys).map(([org, key]) => {
    let own = learned.lengths.get(org, key);
    if (own === undefined) {
      own = unlearnedLengths(parent);
      learned.lengths.set(org, key, own);
    }
    parent = own;
    return own;
  });
}

/** Reports of its own after which an org no longer looks at the pool for a model. */
const OWN_REPORTS = 24;

/** The place among the models for what all those without a public tokenizer showed; no model's name is empty. */
export const ANY_MODEL = '';

/**
 * A model that reported nothing yet is read as the others of the org without a tokenizer: texts are alike more than tokenizers
 * are apart, and of two models the one that is known must not look cheaper for being known.
 */
export function inputLearningOf(
  learned: Learned,
  org: string,
  model: string,
  maxTokensPerImage: number | undefined,
): InputLearning | undefined {
  const own = learned.inputs.get(org, model);
  if ((own?.weight ?? 0) >= OWN_REPORTS) return own;
  const shared = learned.settings.sharesLearning(org) ? learned.inputs.get(POOL, model) : undefined;
  if (shared !== undefined || own !== undefined) return shared ?? own;
  if (learned.settings.tokenizerOf(model) !== undefined) return undefined;
  const others = learned.inputs.get(org, ANY_MODEL);
  return others && lentInput(others, inputPrior(false, maxTokensPerImage));
}

/** A backend was sent a prompt of an org, by whomever. */
export function rememberSent(learned: Learned, org: string, backend: string, sent: readonly SentPlaces[]): void {
  if (sent.length === 0) return;
  let cache = learned.caches.get(org, backend);
  if (cache === undefined) {
    cache = emptyPrefixCache();
    learned.caches.set(org, backend, cache);
  }
  rememberSentPlaces(cache, sent);
}
