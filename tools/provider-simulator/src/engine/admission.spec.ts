import { describe, expect, it } from 'vitest';
import { Gate, RateWindow, Slots } from './admission.js';
import { Presence } from './presence.js';

describe('requests a minute', () => {
  it('are counted from the first one on, and say how long to wait', () => {
    const window = new RateWindow();
    expect([0, 10, 20].map((now) => window.take(2, now, 1))).toEqual([0, 0, 59_980]);
    expect(window.take(2, 60_000, 1)).toBe(0);
  });

  it('pass as fast as the simulated minute', () => {
    const window = new RateWindow();
    window.take(1, 0, 60);
    expect(window.take(1, 400, 60)).toBe(600);
    expect(window.take(1, 1_000, 60)).toBe(0);
  });
});

describe('places', () => {
  it('go to those who wait in order of arrival; who left the line gets none', () => {
    const slots = new Slots(1);
    const placed: string[] = [];
    expect(slots.tryEnter()).toBe(true);
    expect(slots.tryEnter()).toBe(false);
    slots.wait(() => placed.push('a'));
    const leave = slots.wait(() => placed.push('b'));
    slots.wait(() => placed.push('c'));
    leave();
    slots.leave();
    expect([placed, slots.running, slots.waiting]).toEqual([['a'], 1, 1]);
    slots.setLimit(2);
    expect([placed, slots.running, slots.waiting]).toEqual([['a', 'c'], 2, 0]);
  });
});

describe('the gate', () => {
  it('lets everybody go when it opens', () => {
    const gate = new Gate();
    let gone = 0;
    gate.set(true);
    gate.wait(() => gone++);
    gate.wait(() => gone++);
    expect([gate.held, gone]).toEqual([2, 0]);
    gate.set(false);
    expect([gate.held, gone]).toEqual([0, 2]);
  });
});

describe('presence', () => {
  it('ends every wait at departure and takes the waiting one off the list', async () => {
    const presence = new Presence();
    let listening = 0;
    const waiting = presence.until(() => {
      listening++;
      return () => listening--;
    });
    expect(listening).toBe(1);
    presence.leave('client');
    await waiting;
    presence.leave('stopping');
    expect([listening, presence.departure]).toEqual([0, 'client']);
    await presence.sleep(1e9);
    await presence.departed();
  });

  it('takes the waiting one off the list too when it is called at once', async () => {
    let listening = 0;
    await new Presence().until((go) => {
      listening++;
      go();
      return () => listening--;
    });
    expect(listening).toBe(0);
  });

  it('never wakes before its time', async () => {
    const presence = new Presence();
    for (const ms of [0.3, 1, 2.7]) {
      const began = performance.now();
      await presence.sleep(ms);
      expect(performance.now() - began).toBeGreaterThanOrEqual(ms);
    }
  });
});
