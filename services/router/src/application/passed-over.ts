import type { PassedOver } from '@meritorder/contracts';
import type { ReserveGrant } from '@meritorder/counters';

/**
 * Why the counters took none of those before the one that they granted, by their places among the offers. One of which they say
 * nothing stands behind own hardware as the one before it does: they looked no further at what is not local.
 */
export function passedOverBy({ candidateIndex, passedOver = [] }: ReserveGrant): ReadonlyMap<number, PassedOver> {
  const told = new Map(passedOver.map(({ candidateIndex: place, binding }) => [place, recorded(binding)]));
  const prefers = [...told.values()].find(({ stage }) => stage === 'prefer-local');
  if (prefers) for (let place = 0; place < candidateIndex; place++) if (!told.has(place)) told.set(place, prefers);
  return told;
}

function recorded(binding: NonNullable<ReserveGrant['passedOver']>[number]['binding']): PassedOver {
  const { kind } = binding;
  switch (kind) {
    case 'rate':
      return { kind, account: binding.account, short: binding.short, limitPerMinute: binding.limitPerMinute };
    case 'org-rate':
      return { kind, account: binding.org, limitPerMinute: binding.limitPerMinute };
    default: {
      const { budget, window, stage } = binding;
      return { kind, budget, window, ...(stage === undefined ? {} : { stage }) };
    }
  }
}
