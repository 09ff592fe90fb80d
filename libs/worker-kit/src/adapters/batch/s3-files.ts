import type { Credential } from '../../application/ports.js';
import { urlAt } from '../url-at.js';
import { signed } from './aws-signature.js';
import { askText } from './batch-http.js';

/** A bucket with what is before the names of files there. */
const PLACE = /^s3:\/\/([^/]+)\/?(.*?)\/*$/;

/** Writes a file, also over one of its name. @param place as s3://bucket/before @returns where it is @throws UpstreamError */
export async function writeFile(account: S3Account, place: string, name: string, text: string): Promise<string> {
  const file = fileIn(place, name);
  const url = urlOf(account, file);
  const headers = { 'content-type': 'application/jsonl' };
  await askText(url, await signed('s3', account.credential, { url, method: 'PUT', headers, body: text }));
  return file;
}

/** @throws UpstreamError */
export async function readFile(account: S3Account, file: string): Promise<string> {
  const url = urlOf(account, file);
  return askText(url, await signed('s3', account.credential, { url }));
}

export interface S3Account {
  credential: Credential;
  /** Where buckets are paths; undefined: each is a host of AWS. */
  s3Url: string | undefined;
}

export function fileIn(place: string, name: string): string {
  return `${place.replace(/\/+$/, '')}/${name}`;
}

function urlOf({ credential: { region }, s3Url }: S3Account, file: string): string {
  const [, bucket, key] = PLACE.exec(file)!;
  if (s3Url !== undefined) return urlAt(s3Url, `/${bucket}/${key}`);
  return `https://${bucket}.s3.${region}.amazonaws.com/${key}`;
}
