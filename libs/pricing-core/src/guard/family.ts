import type { GuardedPrice } from './guarded-price.js';

/** What a model's name says about it. Generic words only: no list of models. */
export interface ModelTraits {
  provider: string;
  /**
   * The name without seller, region, date, revision and release word: models of one family do the same work and cost
   * about the same wherever they are sold.
   */
  family: string;
  /** The family of which this one is the dearer edition: `x1` of `x1-pro`. */
  baseFamily: string | undefined;
  /** The family without its generation, in any order of words: `claude-3-opus` and `claude-opus-4-5` are of one line. */
  line: string;
  /**
   * `vector`: embeddings, rerankers, classifiers and speech recognition, which charge no output tokens. `media`: image,
   * audio and video, whose output tokens cost far more than text.
   */
  kind: 'text' | 'vector' | 'media';
  /** Billions of parameters when the name tells. */
  billions: number | undefined;
  /** The name has a word for a small edition: mini, flash, lite and the like. */
  smallEdition: boolean;
  /** The seller's own name says that it is free of charge (`:free`). */
  declaredFree: boolean;
}

const VECTOR =
  /(^|[^a-z])(\w*embed\w*|bge|gte|e5|voyage|\w*rerank\w*|moderations?|whisper|\w*transcri\w+|asr|ocr|colbert)(?=[^a-z]|$)/;
const MEDIA = /(^|[^a-z])(image|audio|video|tts|speech|realtime|live|voice|imagine|imagen|diffusion)(?=[^a-z]|$)/;
const SMALL = /(^|-)(mini|nano|lite|flash|small|tiny|micro|haiku|ministral)(?=-|$)/;
const DEARER_EDITION = /-(pro|max|ultra|plus|large|deep-research)$/;
const REGION = /^(us|eu|apac|au|ca|jp|uk|global)\.(?=[a-z])/;

const known = new WeakMap<GuardedPrice, ModelTraits>();

/** Traits of a price's model; remembered per object, because every peer is asked for each judgement. */
export function traitsOf(price: GuardedPrice): ModelTraits {
  let traits = known.get(price);
  if (!traits) {
    traits = readTraits(price);
    known.set(price, traits);
  }
  return traits;
}

function readTraits(price: GuardedPrice): ModelTraits {
  const name = price.model.toLowerCase();
  const family = familyOf(name);
  const sizes = [...family.matchAll(/(?:^|-)(?:(\d+)x)?(\d+(?:-\d+)?)b(?=-|$)/g)].map(
    (m) => Number(m[1] ?? '1') * Number((m[2] ?? '0').replace('-', '.')),
  );
  return {
    provider: (price.provider ?? (name.includes('/') ? name.slice(0, name.indexOf('/')) : '')).toLowerCase(),
    family,
    baseFamily: DEARER_EDITION.test(family) ? family.replace(DEARER_EDITION, '') : undefined,
    line: lineOf(family),
    kind: VECTOR.test(name) ? 'vector' : MEDIA.test(name) ? 'media' : 'text',
    billions: sizes.length > 0 ? Math.max(...sizes) : undefined,
    smallEdition: SMALL.test(family),
    declaredFree: /[:/-]free$/.test(name),
  };
}

/** The stem of a model name; see `ModelTraits.family`. */
export function familyOf(model: string): string {
  const last = model.toLowerCase().replace(/\/+$/, '').split('/').at(-1) ?? '';
  return last
    .replace(REGION, '')
    .replace(/^[a-z0-9]+\.(?=[a-z])/, '') // the vendor, as in vendor.model-name
    .replace(/^ft:/, 'fine-tuned-')
    .replace(/:(free|beta|extended|thinking|nitro|floor|latest|cloud)$/, '')
    .replace(/-v\d+(\.\d+)?:\d+(:\w+)?$/, '') // -v1:0
    .replace(/@.*$/, '')
    .replace(/[._: ]+/g, '-')
    .replace(/-(20\d\d-?\d\d-?\d\d|\d\d-\d\d(-20\d\d)?|\d\d-20\d\d|2[3-9](0[1-9]|1[0-2])|\d{6})(?=-|$)/g, '')
    .replace(/-(latest|preview|exp|experimental|beta|maas|hf|instruct|chat|it|fp8|fp4|bf16|00\d)(?=-|$)/g, '')
    .replace(/([a-z]{3,})(?=\d)/g, '$1-') // llama3-2 is llama-3-2
    .replace(/^meta-(?=llama)/, '')
    .replace(/-+/g, '-')
    .replace(/^-|-$/g, '');
}

/** Numbers are generations, but for sizes (`8b`, `8x22b`), which make another model of the same name. */
function lineOf(family: string): string {
  return family
    .split('-')
    .map((word) => (/^\d+(x\d+)?b$/.test(word) ? word : word.replace(/\d/g, '')))
    .filter((word) => word !== '')
    .sort()
    .join(' ');
}
