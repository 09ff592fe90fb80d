import { invalid } from '../engine/refusal.js';

/** Readers of request fields; each throws a Refusal (400) that names the field. */
export type Fields = Record<string, unknown>;

export function asObject(value: unknown, field?: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(field === undefined ? 'The body must be a JSON object.' : `'${field}' must be an object.`, field);
  }
  return value as Fields;
}

export function asArray(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(`'${field}' must be a non-empty array.`, field);
  return value;
}

export function asText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw invalid(`'${field}' must be a string.`, field);
  return value;
}

/** The name of a model. */
export function modelName(body: Fields): string {
  const name = body['model'];
  if (typeof name !== 'string' || name === '') throw invalid('you must provide a model parameter', 'model');
  return name;
}

export function optionalBoolean(value: unknown, field: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw invalid(`'${field}' must be a boolean.`, field);
  return value;
}

export function optionalWhole(value: unknown, field: string, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(`'${field}' must be a whole number from ${min} to ${max}.`, field);
  }
  return value as number;
}
