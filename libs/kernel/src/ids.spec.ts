import { expect, it } from 'vitest';
import { isSlug, newId } from './ids.js';

it('ids are slugs, no two alike, and each is later in order than those before it', () => {
  const ids = Array.from({ length: 20_000 }, newId);
  expect(ids.every(isSlug)).toBe(true);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
  expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
