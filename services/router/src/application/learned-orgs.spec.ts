import { seededRandom } from '@meritorder/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { LearnedOrgs, POOL, type Keeper } from './learned-orgs.js';

/** What is known of an org: how many lessons there were. */
let memory: Map<string, number>;
let kept: Map<string, string>;
let written: [org: string, lessons: number][];
let errors: string[];
let refused: Set<string>;
let isAway: boolean;
let heardKept: number | undefined;
let reads: number;
/** Reads that are held back until it resolves. */
let opening: Promise<void> | undefined;
let orgs: LearnedOrgs;

const keeper: Keeper = {
  async read(org) {
    reads++;
    await opening;
    if (isAway) throw new Error('the store is away');
    return kept.get(org);
  },
  async write(org, text) {
    if (isAway) throw new Error('the store is away');
    if (refused.has(org)) return `key ${org}: refused`;
    kept.set(org, text);
    written.push([org, learnedIn(org)!]);
    return undefined;
  },
  async writeHeard(heard) {
    if (isAway) throw new Error('the store is away');
    heardKept = heard;
  },
};

function learnedIn(org: string): number | undefined {
  const text = kept.get(org);
  return text === undefined ? undefined : (JSON.parse(text) as { learned: number }).learned;
}

function start({ mostOrgs = 3, isFull = (): boolean => false } = {}): LearnedOrgs {
  memory = new Map();
  const learner = {
    snapshotOf: (org: string) => memory.get(org),
    restore: (org: string, snapshot: unknown) => typeof snapshot === 'number' && !!memory.set(org, snapshot),
    forget: (org: string) => void memory.delete(org),
    isFull,
  };
  return (orgs = new LearnedOrgs(learner, keeper, (message) => void errors.push(message), mostOrgs));
}

beforeEach(() => {
  [kept, written, errors, refused, isAway, reads, opening] = [new Map(), [], [], new Set(), false, 0, undefined];
  heardKept = undefined;
  start();
});

function teach(org: string, times = 1): void {
  for (let i = 0; i < times; i++) orgs.teach(org, () => !!memory.set(org, (memory.get(org) ?? 0) + 1));
}
async function taught(org: string, times = 1): Promise<void> {
  teach(org, times);
  await orgs.settled();
}

describe('an org that gives way', () => {
  it('is kept first, and comes back with all it had', async () => {
    await taught('first', 5);
    for (const org of ['a', 'b', 'c']) await taught(org);
    expect(memory.has('first')).toBe(false);
    expect(learnedIn('first')).toBe(5);
    orgs.use('first');
    await orgs.settled();
    expect(memory.get('first')).toBe(5);
    await taught('first');
    await orgs.save();
    expect(learnedIn('first')).toBe(6);
  });

  it('is the one that was used longest ago, whether asked for or learned of', async () => {
    for (const org of ['a', 'b', 'c']) await taught(org);
    orgs.use('a');
    await taught('d');
    expect([...memory.keys()].toSorted()).toEqual(['a', 'c', 'd']);
  });

  it('is taken back from memory when it returns before it is kept', async () => {
    await taught('first', 5);
    for (const org of ['a', 'b']) await taught(org);
    isAway = true;
    orgs.restore('c', '1');
    expect(memory.has('first')).toBe(false);
    teach('first');
    expect(memory.get('first')).toBe(6);
    isAway = false;
    await orgs.close();
    expect(learnedIn('first')).toBe(6);
  });

  it('is not lost while the store is away: it is kept when it is there again', async () => {
    await taught('first', 5);
    isAway = true;
    orgs.restore('a', '1');
    orgs.restore('b', '1');
    orgs.restore('c', '1');
    await orgs.settled();
    expect(kept.size).toBe(0);
    expect(errors).toEqual(['what was learned of first is not kept yet: the store is away']);
    isAway = false;
    await orgs.save();
    expect(learnedIn('first')).toBe(5);
  });

  it('makes room where few hold too much', async () => {
    start({ isFull: () => [...memory.values()].reduce((sum, n) => sum + n, 0) > 10, mostOrgs: 100 });
    await taught('small', 2);
    await taught('large', 8);
    expect(memory.size).toBe(2);
    await taught('large');
    expect([...memory]).toEqual([['large', 9]]);
    expect(learnedIn('small')).toBe(2);
  });

  it('is never the pool', async () => {
    memory.set(POOL, 7);
    orgs.markPool();
    for (const org of ['a', 'b', 'c', 'd', 'e']) await taught(org);
    expect(memory.get(POOL)).toBe(7);
    await orgs.save();
    expect(learnedIn(POOL)).toBe(7);
  });
});

describe('an org that is not read yet', () => {
  it('is not kept, and learns what was taught meanwhile once it is', async () => {
    kept.set('first', '100');
    const { promise, resolve } = Promise.withResolvers<void>();
    opening = promise;
    teach('first', 3);
    expect(memory.has('first')).toBe(false);
    await orgs.save();
    expect(written).toEqual([]);
    resolve();
    await orgs.settled();
    expect(memory.get('first')).toBe(103);
    await orgs.save();
    expect(learnedIn('first')).toBe(103);
  });

  it('stays so while the store is away, is said once, and is read when it is asked for again', async () => {
    kept.set('first', '100');
    isAway = true;
    for (let i = 0; i < 5; i++) await taught('first');
    expect(memory.has('first')).toBe(false);
    expect(errors).toEqual(['what is kept of first cannot be read yet: the store is away']);
    isAway = false;
    orgs.use('first');
    await orgs.settled();
    expect(memory.get('first')).toBe(105);
  });

  it('loses lessons rather than memory, and that is said once', async () => {
    opening = new Promise(() => {});
    teach('first', 1_000);
    expect(errors).toEqual(['what is kept of first is not read yet: no more is learned of such orgs']);
  });
});

describe('a round of keeping', () => {
  it('goes on after one that is refused, which is named, and tries that again', async () => {
    refused.add('b');
    for (const org of ['a', 'b', 'c']) await taught(org);
    await orgs.save();
    expect([...kept.keys()].toSorted()).toEqual(['a', 'c']);
    expect(errors).toEqual(['what was learned could not be kept: key b: refused']);
    refused.clear();
    await orgs.save();
    expect(learnedIn('b')).toBe(1);
    expect(written.length).toBe(3);
  });

  it('stops where the store is away, and loses nothing', async () => {
    for (const org of ['a', 'b', 'c']) await taught(org);
    isAway = true;
    await orgs.save();
    expect(errors).toEqual(['what was learned could not be kept: the store is away']);
    isAway = false;
    await orgs.save();
    expect(kept.size).toBe(3);
  });

  it('keeps again what was learned while it was being written, and nothing that was not', async () => {
    await taught('a');
    const saving = orgs.save();
    teach('a');
    await saving;
    await orgs.save();
    await orgs.save();
    expect(written).toEqual([
      ['a', 1],
      ['a', 2],
    ]);
  });
});

it('closing does not wait for every org while the store is away', async () => {
  isAway = true;
  for (let i = 0; i < 1_000; i++) teach(`o-${i}`);
  await orgs.close();
  expect(reads).toBe(16);
  expect(errors).toEqual([
    'what is kept of o-0 cannot be read yet: the store is away',
    'what 1000 orgs taught is lost: nobody could read theirs',
  ]);
});

it('what cannot be read is learned anew, and said', async () => {
  kept.set('first', '{"half');
  await taught('first', 2);
  expect(errors).toEqual(['what was learned of first cannot be read; it is learned anew']);
  expect(memory.get('first')).toBe(2);
});

it('whatever comes in whatever order, no lesson is lost and nothing kept is replaced by less', async () => {
  const random = seededRandom(11);
  const told = new Map<string, number>();
  for (let step = 0; step < 20_000; step++) {
    const org = `o-${Math.floor(random() * random() * 12)}`;
    const draw = random();
    if (draw < 0.6) {
      teach(org);
      told.set(org, (told.get(org) ?? 0) + 1);
    } else if (draw < 0.8) orgs.use(org);
    else if (draw < 0.85) void orgs.save();
    else if (draw < 0.87) isAway = !isAway;
    else await Promise.resolve();
    if (step % 50 === 0) {
      isAway = false;
      orgs.use(org);
      await orgs.settled();
    }
    expect(memory.size).toBeLessThanOrEqual(3);
  }
  isAway = false;
  await orgs.close();
  expect([...kept.keys()].map((org) => [org, learnedIn(org)]).toSorted()).toEqual([...told].toSorted());
  const most = new Map<string, number>();
  for (const [org, lessons] of written) {
    expect(lessons).toBeGreaterThanOrEqual(most.get(org) ?? 0);
    most.set(org, lessons);
  }
});

describe('a lesson that comes with a message', () => {
  const tell = (org: string, sequence: number): void => {
    const source = { sequence };
    orgs.hear(source);
    orgs.teach(org, () => !!memory.set(org, (memory.get(org) ?? 0) + 1), source);
  };
  /** A process that was killed and starts again, with what was kept. */
  const restart = async (...known: string[]): Promise<void> => {
    start();
    for (const org of known) orgs.restore(org, kept.get(org)!);
  };

  it('that comes again after a restart teaches nothing when it is in what was kept, and all that came later does', async () => {
    tell('a', 1);
    tell('b', 2);
    tell('a', 3);
    await orgs.settled();
    await orgs.save();
    tell('a', 4);
    tell('b', 5);
    await restart('a');
    for (const [org, sequence] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['a', 4],
      ['b', 5],
      ['c', 6],
    ] as const)
      tell(org, sequence);
    await orgs.settled();
    expect([...memory].toSorted()).toEqual([
      ['a', 3],
      ['b', 2],
      ['c', 1],
    ]);
  });

  it('that was heard but taught nothing is behind what is kept as well', async () => {
    tell('a', 1);
    await orgs.settled();
    orgs.hear({ sequence: 7 });
    tell('b', 8);
    await orgs.settled();
    await orgs.save();
    expect(JSON.parse(kept.get('a')!)).toEqual({ stream: '', heard: 8, learned: 1 });
  });

  it('of what another router kept meanwhile is not taught again', async () => {
    kept.set('a', JSON.stringify({ stream: '', heard: 20, learned: 40 }));
    tell('a', 20);
    tell('a', 21);
    await orgs.settled();
    expect(memory.get('a')).toBe(41);
  });

  it('of a stream that was made anew teaches, however far the old one was heard', async () => {
    kept.set('a', JSON.stringify({ stream: 'an earlier one', heard: 20, learned: 40 }));
    tell('a', 1);
    await orgs.settled();
    expect(memory.get('a')).toBe(41);
  });

  it('that an earlier process heard and kept brings no org into memory', async () => {
    const again = (org: string) => orgs.teach(org, () => !!memory.set(org, 1), { sequence: 1, isAgain: true });
    orgs.restore('there', JSON.stringify({ stream: '', heard: 0, learned: 5 }));
    again('there');
    again('elsewhere');
    await orgs.settled();
    expect([reads, ...memory]).toEqual([0, ['there', 1]]);
  });

  it('is noted as heard only when all that was heard is kept', async () => {
    tell('a', 1);
    await orgs.settled();
    refused.add('a');
    await orgs.save();
    expect(heardKept).toBeUndefined();
    refused.clear();
    const held = Promise.withResolvers<void>();
    opening = held.promise;
    tell('b', 2);
    await orgs.save();
    expect(heardKept).toBeUndefined();
    held.resolve();
    await orgs.settled();
    await orgs.save();
    expect(heardKept).toBe(2);
  });
});
