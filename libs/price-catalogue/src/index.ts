export * from './catalogue.js';
export * from './catalogue-peers.js';
export * from './read-catalogue.js';
