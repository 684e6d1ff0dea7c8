// AWS Signature Version 4 for GET, with the signing key kept for 23 hours, as the worker that is replaced kept it.
import { createHash, createHmac } from 'node:crypto'

const KEY_TTL_MS = 23 * 3600 * 1000
const EMPTY = createHash('sha256').update('').digest('hex')
const hmac = (key, text) => createHmac('sha256', key).update(text).digest()

export class Signer {
  constructor ({ accessKeyId, secretAccessKey, region = 'auto' }) {
    Object.assign(this, { accessKeyId, secretAccessKey, region, kept: null })
  }

  key (date, now) {
    if (this.kept?.date === date && now - this.kept.at < KEY_TTL_MS) return this.kept.key
    let key = Buffer.from('AWS4' + this.secretAccessKey)
    for (const part of [date, this.region, 's3', 'aws4_request']) key = hmac(key, part)
    this.kept = { date, at: now, key }
    return key
  }

  // Keys here are plain (letters, digits, `-._/`), so the path needs no encoding.
  headers (url) {
    const now = Date.now()
    const stamp = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, '')
    const date = stamp.slice(0, 8)
    const signed = { host: url.host, 'x-amz-content-sha256': EMPTY, 'x-amz-date': stamp }
    const names = Object.keys(signed).sort()
    const lines = names.map((name) => `${name}:${signed[name]}\n`).join('')
    const canonical = ['GET', url.pathname, '', lines, names.join(';'), EMPTY].join('\n')
    const scope = `${date}/${this.region}/s3/aws4_request`
    const digest = createHash('sha256').update(canonical).digest('hex')
    const signature = hmac(this.key(date, now), ['AWS4-HMAC-SHA256', stamp, scope, digest].join('\n')).toString('hex')
    const credential = `${this.accessKeyId}/${scope}`
    return {
      ...signed,
      authorization: `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names.join(';')},Signature=${signature}`
    }
  }
}
