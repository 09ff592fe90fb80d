export { startSimulator, type Simulator } from './simulator.js';
export type { SimulatorConfig, Behaviour } from './config.js';
export type { InvoiceDocument } from './billing/invoice-documents.js';
export type { InvoiceLine, Outcome, Period } from './billing/invoice.js';
export type { ModelStats, Stats } from './serving/control.js';
export { countTokens, TOKENS_PER_CONVERSATION, TOKENS_PER_MESSAGE } from './text/tokens.js';
