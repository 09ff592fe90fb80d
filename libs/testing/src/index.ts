export * from './find-server.js';
export * from './for-tests.js';
export * from './server-process.js';
export * from './servers.js';
