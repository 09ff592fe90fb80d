import type { Attribution, ChatRequest, DecisionDraws } from '@meritorder/contracts';
import { hashUnit } from '@meritorder/kernel';

/** What a decision takes at random. The hold-out is a property of the customer, so that the group stays the same. */
export function drawsOf(request: { requestId: string; attribution: Attribution }, random: () => number): DecisionDraws {
  const { org, customer, user, key } = request.attribution;
  const who = customer ?? user ?? key;
  return {
    holdOut: hashUnit(who === undefined ? `request ${request.requestId}` : `hold-out ${org} ${who}`),
    explore: random(),
    replica: random(),
  };
}

/**
 * Of the prompt, what every turn of a conversation shares: what comes before its first message of a user, and that one. Of one org,
 * for no other has it warm for it.
 */
export function promptPrefix(org: string, body: ChatRequest): string {
  let prefix = org;
  for (const { role, content } of body.messages.slice(0, PREFIX_MESSAGES)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content ?? '');
    prefix += `\n${role} ${text.slice(0, PREFIX_CHARACTERS)}`;
    if (role === 'user') break;
  }
  return prefix;
}

const PREFIX_MESSAGES = 4;
const PREFIX_CHARACTERS = 512;
