import { describe, expect, it } from 'vitest';
import { OrgStates } from './org-states.js';

interface Count {
  n: number;
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function world(most = 2) {
  const kept = new Map<string, Count>();
  const errors: string[] = [];
  let away = false;
  const states = new OrgStates<Count>({
    most,
    empty: () => ({ n: 0 }),
    kept: {
      giveWay: (name, { n }) => void kept.set(name, { n }),
      read: async (name) => {
        if (away) throw new Error('no bucket');
        const found = kept.get(name);
        return found && { ...found };
      },
    },
    onError: (message) => void errors.push(message),
  });
  const add = (name: string): void => states.learn(name, (s) => void s.n++);
  return { states, kept, errors, add, leave: (is: boolean) => void (away = is) };
}

describe('what was learned by org', () => {
  it('gives way when there are too many, and goes on from what it knew', async () => {
    const { states, add } = world();
    for (let i = 0; i < 5; i++) add('a');
    add('b');
    add('c');
    expect(states.peek('a')).toBeUndefined();
    add('a');
    add('a');
    // Nothing is known while it is read.
    expect(states.get('a')).toBeUndefined();
    await turn();
    expect(states.peek('a')).toEqual({ n: 7 });
    expect(states.peek('b')).toBeUndefined();
  });

  it('is read again when somebody only asks for it', async () => {
    const { states, add } = world();
    for (const name of ['a', 'a', 'b', 'c']) add(name);
    expect(states.get('a')).toBeUndefined();
    await turn();
    expect(states.get('a')).toEqual({ n: 2 });
  });

  it('never takes the place of more: where it cannot be read it stays away', async () => {
    const { states, kept, errors, add, leave } = world();
    for (const name of ['a', 'a', 'a', 'b', 'c']) add(name);
    leave(true);
    add('a');
    await turn();
    expect(errors).toEqual(['what was learned of a could not be read again: no bucket; 1 lessons are lost']);
    for (const name of ['d', 'e', 'f']) add(name);
    expect(kept.get('a')).toEqual({ n: 3 });
    leave(false);
    add('a');
    await turn();
    expect(states.peek('a')).toEqual({ n: 4 });
  });

  it('of a process that starts is in memory up to the limit, the rest when it is asked for', async () => {
    const { states, kept } = world();
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      kept.set(name, { n: i });
      states.restore(name, { n: i });
    }
    expect(states.get('c')).toBeUndefined();
    await turn();
    expect(states.get('c')).toEqual({ n: 2 });
  });

  it('is forgotten where nothing is kept', () => {
    const states = new OrgStates<Count>({ most: 1, empty: () => ({ n: 0 }) });
    states.learn('a', (s) => void s.n++);
    states.learn('b', (s) => void s.n++);
    states.learn('a', (s) => void s.n++);
    expect(states.peek('a')).toEqual({ n: 1 });
  });
});
