import { describe, expect, it } from 'vitest';
import { KeySlots } from './key-slots.js';

const slots = () => new KeySlots({ requestsInFlightPerGateway: 3, requestsInFlightPerKey: 2 });
const code = (taken: ReturnType<KeySlots['take']>): string => (typeof taken === 'function' ? 'taken' : taken.code);

describe('places of calls in flight', () => {
  it('a key has its share, and another its own', () => {
    const of = slots();
    expect([1, 2, 3].map(() => code(of.take('acme', 'a')))).toEqual(['taken', 'taken', 'key_concurrency']);
    expect(code(of.take('globex', 'a'))).toBe('taken');
    expect(code(of.take('acme', 'b'))).toBe('gateway_overloaded');
    expect(of.inFlight).toBe(3);
  });

  it('a place that is given back twice is free once', () => {
    const of = slots();
    const leave = of.take('acme', 'a');
    of.take('acme', 'a');
    if (typeof leave !== 'function') throw new Error('no place');
    leave();
    leave();
    expect(of.inFlight).toBe(1);
    expect([1, 2].map(() => code(of.take('acme', 'a')))).toEqual(['taken', 'key_concurrency']);
  });
});
