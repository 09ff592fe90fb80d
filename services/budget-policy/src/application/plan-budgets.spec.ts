import { describe, expect, it } from 'vitest';
import { selectorNames, type BudgetDefinition } from '@meritorder/contracts';
import { instanceId, type ConfiguredBudget } from '@meritorder/budget-core';
import type { BudgetWrite, StoredBudget } from '@meritorder/ledger-store';
import { MONTH } from './fixture.for-tests.js';
import { planException, planRemoval, planSet, shapeOf } from './operator-changes.js';
import { armedVersion, planConfiguration } from './plan-budgets.js';

const { limitVersion: _, ...written } = MONTH;
const file = (more: Partial<BudgetDefinition> = {}): ConfiguredBudget => ({ ...written, ...more });

/** What is stored after one statement after the other. */
class Book {
  stored = new Map<string, StoredBudget>();
  writes: readonly BudgetWrite[] = [];

  configure(...wanted: ConfiguredBudget[]): this {
    return this.keep(planConfiguration(this.stored, wanted));
  }
  set(change: Parameters<typeof planSet>[2], id = 'org'): this {
    return this.keep([planSet(this.stored, id, change, 'ada', this.names(id))]);
  }
  except(values: Record<string, string>, limitUsd: string | null, id = 'each'): this {
    return this.keep([planException(this.stored, id, values, limitUsd, 'ada', this.names(id))]);
  }
  remove(id = 'org'): this {
    return this.keep([planRemoval(this.stored, id, 'ada')]);
  }
  private names(id: string) {
    const others = [...this.stored.values()].filter((b) => b.definition.id !== id);
    return {
      selectors: selectorNames({
        orgs: [{ id: 'acme', departments: ['eng', 'x'] }],
        backends: [],
        joins: [],
        tiers: [],
      }),
      shapes: new Set(others.map((b) => shapeOf(b.definition))),
    };
  }
  limit(id = 'org'): string {
    const { definition, retired, origin } = this.stored.get(id)!;
    return retired ? 'retired' : `${definition.limitNanos} v${definition.limitVersion} ${origin}`;
  }
  private keep(writes: readonly BudgetWrite[]): this {
    this.writes = writes;
    for (const write of writes)
      this.stored.set(write.definition.id, { ...write, changedAt: '2026-11-01T00:00:00.000Z' });
    return this;
  }
}

describe('who has the last word on a budget', () => {
  it.each<[string, (book: Book) => Book, string]>([
    ['the file, first', (b) => b.configure(file()), '1000 v1 config'],
    ['a file that says the same says nothing', (b) => b.configure(file()).configure(file()), '1000 v1 config'],
    ['a file that was edited', (b) => b.configure(file()).configure(file({ limitNanos: '2000' })), '2000 v2 config'],
    ['an operator', (b) => b.configure(file()).set({ limitUsd: '0.000005' }), '5000 v2 operator'],
    [
      'an operator, through a restart',
      (b) => b.configure(file()).set({ limitUsd: '0.000005' }).configure(file()),
      '5000 v2 operator',
    ],
    [
      'a file that was edited after the operator',
      (b) =>
        b
          .configure(file())
          .set({ limitUsd: '0.000005' })
          .configure(file({ limitNanos: '7000' })),
      '7000 v3 config',
    ],
    ['an operator who removed it, through a restart', (b) => b.configure(file()).remove().configure(file()), 'retired'],
    [
      'a file that was edited after the removal',
      (b) =>
        b
          .configure(file())
          .remove()
          .configure(file({ limitNanos: '7000' })),
      '7000 v2 config',
    ],
    ['a file that drops it', (b) => b.configure(file()).configure(), 'retired'],
    [
      'a file that drops it and brings it back',
      (b) => b.configure(file()).configure().configure(file()),
      '1000 v2 config',
    ],
    [
      'an operator, on a budget that the file never named',
      (b) => b.set({ selector: { org: 'acme' }, window: 'day', limitUsd: '0.000001' }).configure(),
      '1000 v1 operator',
    ],
  ])('%s', (_name, run, expected) => {
    expect(run(new Book()).limit()).toBe(expected);
  });

  it('what says nothing writes nothing', () => {
    expect(new Book().configure(file()).configure(file()).writes).toEqual([]);
  });
});

describe('what arms thresholds again', () => {
  const armed = (book: Book, id: string, values?: Record<string, string>): number =>
    armedVersion(book.stored.get(id)!, values && { id: instanceId(id, values), values });

  it('a changed limit, basis, window or stage does; a name does not', () => {
    const book = new Book().configure(file());
    expect(armed(book.set({ name: 'Other' }), 'org')).toBe(1);
    expect(armed(book.set({ limitUsd: '0.000002' }), 'org')).toBe(2);
    expect(armed(book.set({ basis: 'full' }), 'org')).toBe(3);
    expect(armed(book.set({ stages: [{ at: 1, action: 'reject' }] }), 'org')).toBe(4);
  });

  it('a limit of its own arms one instance and no other, and counters see a newer limit', () => {
    const [big, small] = [{ customer: 'big' }, { customer: 'small' }];
    const book = new Book().configure(file({ id: 'each', per: ['customer'] }));
    book.except(big, '0.00002');
    expect(book.stored.get('each')!.definition).toMatchObject({
      limitVersion: 2,
      exceptions: [{ values: big, limitNanos: '20000' }],
    });
    expect([armed(book, 'each', big), armed(book, 'each', small)]).toEqual([2, 1]);
    book.set({ limitUsd: '0.000003' }, 'each');
    expect([armed(book, 'each', big), armed(book, 'each', small)]).toEqual([2, 3]);
    book.except(big, null);
    expect(book.stored.get('each')!.definition.exceptions).toEqual([]);
    expect([armed(book, 'each', big), armed(book, 'each', small)]).toEqual([4, 3]);
    book.set({ thresholds: [0.9] }, 'each');
    expect([armed(book, 'each', big), armed(book, 'each', small)]).toEqual([5, 5]);
  });
});

describe('a change that cannot be made is refused with the reason', () => {
  it.each<[string, (book: Book) => unknown, RegExp]>([
    ['a budget that is not there', (b) => b.remove('none'), /there is no budget "none"/],
    [
      'a new one without a limit',
      (b) => b.set({ selector: { org: 'acme' }, window: 'day' }, 'new'),
      /limitUsd.*no such budget yet/,
    ],
    [
      'an unknown org',
      (b) => b.set({ selector: { org: 'nobody' }, window: 'day', limitUsd: '1' }, 'new'),
      /"nobody" is not an org/,
    ],
    ['another org', (b) => b.set({ selector: { provider: 'openai' } }), /stays with its org/],
    [
      'a limit that no counter can hold',
      (b) => b.set({ limitUsd: '9007199.254740992' }),
      /exact up to 9007199.254740991 USD/,
    ],
    ['a throttle without a rate', (b) => b.set({ stages: [{ at: 1, action: 'throttle' }] }), /requestsPerMinute/],
    ['an instance of what is no template', (b) => b.except({ customer: 'x' }, '1', 'org'), /no template/],
    [
      'an id like that of an instance',
      (b) => b.set({ selector: { org: 'acme' }, window: 'day', limitUsd: '1' }, 'a--0123456789abcdef'),
      /template instance/,
    ],
  ])('%s', (_name, run, message) => {
    expect(() => run(new Book().configure(file()))).toThrow(message);
  });

  it('a limit of 2^53 - 1 nano-USD is the highest there is', () => {
    expect(new Book().configure(file()).set({ limitUsd: '9007199.254740991' }).limit()).toBe(
      '9007199254740991 v2 operator',
    );
  });

  it('a selector by a name that nobody has', () => {
    const by = (selector: object) =>
      new Book().set({ selector: { org: 'acme', ...selector }, window: 'day', limitUsd: '1' }, 'new');
    expect(() => by({ department: 'egn' })).toThrow(/budget "new": selector.department: "egn" is not a department/);
    expect(() => by({ provider: 'q' })).toThrow(/"q" is not the provider of any backend/);
    expect(by({ department: 'eng' }).limit('new')).toContain('operator');
  });

  it('more sets of attributes than a look-up should go through', () => {
    const keys = ['key', 'department', 'team', 'customer', 'feature', 'task', 'tier'] as const;
    const book = new Book();
    const add = (mask: number): Book =>
      book.set(
        {
          selector: {
            org: 'acme',
            ...Object.fromEntries(keys.flatMap((key, i) => (mask & (1 << i) ? [[key, 'x']] : []))),
          },
          window: 'day',
          limitUsd: '1',
        },
        `b${mask}`,
      );
    for (let mask = 0; mask < 64; mask++) add(mask);
    expect(() => add(64)).toThrow(/more than 64 sets of attributes/);
  });
});
