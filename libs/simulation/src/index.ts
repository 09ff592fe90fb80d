export * from './simulate.js';
export * from './report.js';
export * from './requests.js';
