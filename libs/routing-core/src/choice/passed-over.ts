import type { PassedOver } from '@meritorder/contracts';
import { listed } from './counted.js';

/** Why the counters took a later one: "the account at openai is at its limit of 3 requests a minute, which small would pass". */
export function passedOverText(ids: readonly string[], whyOf: (id: string) => PassedOver | undefined): string {
  const told = new Map<string, string[]>();
  for (const id of ids) {
    const why = reasonOf(whyOf(id));
    told.set(why, [...(told.get(why) ?? []), id]);
  }
  return [...told].map(([why, of]) => why.replace('%', () => listed(of))).join('; ');
}

/** `%` stands for those that were passed over. */
function reasonOf(why: PassedOver | undefined): string {
  if (why === undefined) return '% did not fit';
  const { kind, budget = 'a budget', account = '', short = 'requests', limitPerMinute = 0 } = why;
  switch (kind) {
    case 'exhausted':
      return `${budget} had no room for %`;
    case 'held':
      return `${budget} had no room for % beside what is in flight`;
    case 'stage':
      return stageReason(budget, why.stage);
    case 'throttled':
      return `${budget} is near its limit and admits only so many requests a minute, not %`;
    case 'instances':
      return `the template of ${budget} has as many windows as it may, so % would be one too many`;
    case 'rate':
      return `the account at ${account} is at its limit of ${limitPerMinute} ${short} a minute, so not %`;
    case 'org-rate':
      return `the org ${account} is at its limit of ${limitPerMinute} requests a minute, so not %`;
  }
}

function stageReason(budget: string, stage: PassedOver['stage']): string {
  switch (stage) {
    case 'prefer-local':
      return `${budget} is at a stage that prefers own hardware to %`;
    case 'local-only':
      return `${budget} is at a stage that admits own hardware alone, not %`;
    default:
      return `${budget} is at a stage that admits nothing that costs something, so not %`;
  }
}
