// Whole objects in memory: at most 50 of them, five minutes each, the oldest out first.
const TTL_MS = 5 * 60 * 1000
const MAX_ENTRIES = 50

export class BufferCache {
  constructor () { this.entries = new Map() }

  get (key) {
    const entry = this.entries.get(key)
    if (!entry) return null
    if (Date.now() - entry.at < TTL_MS) return entry.buffer
    this.entries.delete(key)
    return null
  }

  put (key, buffer) {
    this.entries.delete(key)
    this.entries.set(key, { buffer, at: Date.now() })
    while (this.entries.size > MAX_ENTRIES) this.entries.delete(this.entries.keys().next().value)
  }
}
