import { describe, expect, it } from 'vitest';
import { foreignByBackend, foreignByBooks } from './records-of-hosts.js';

const configured = (id: string) =>
  new Map([
    ['llama', { host: 'gpu-1' }],
    ['qwen', { host: 'gpu-2' }],
    ['cloud', { host: undefined }],
  ]).get(id);
const of = (backend: string) => ({ attemptId: 'a', backend });

describe("a record that came by a host's subject", () => {
  it.each([
    ['its own backend', 'llama', 'gpu-1', undefined],
    ["another host's backend", 'qwen', 'gpu-1', 'host gpu-1 may not speak for qwen, which is of host gpu-2'],
    ['a cloud backend', 'cloud', 'gpu-1', 'host gpu-1 may not speak for cloud, which is of no host'],
    ['a backend that has left', 'gone', 'gpu-1', undefined],
    ['any backend, from the centre', 'llama', undefined, undefined],
  ])('of %s', (_what, backend, host, reason) => {
    expect(foreignByBackend(of(backend), host, configured)).toBe(reason);
  });

  it.each([
    [
      'that is not on record',
      new Map<string, string>(),
      'gpu-1',
      'host gpu-1 may not close attempt a, which no router has opened',
    ],
    ['that is not on record, by the centre', new Map<string, string>(), undefined, undefined],
    ['that was opened at its backend', new Map([['a', 'llama']]), 'gpu-1', undefined],
    [
      'that was opened elsewhere',
      new Map([['a', 'qwen']]),
      'gpu-1',
      'host gpu-1 may not close attempt a of qwen as one of llama',
    ],
    ['that was opened elsewhere, by the centre', new Map([['a', 'qwen']]), undefined, undefined],
  ])('of an attempt %s', (_what, recorded, host, reason) => {
    expect(foreignByBooks(of('llama'), host, recorded)).toBe(reason);
  });
});
