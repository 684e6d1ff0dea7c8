// The same run as relay.py on Node.js and undici: the stack that streamwarm is measured against.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'undici'

const job = JSON.parse(process.argv[2])
const dispatcher = new Agent({
  connections: 50,
  pipelining: 1,
  connect: job.ca_file ? { ca: readFileSync(job.ca_file) } : {}
})

async function * digested (body) {
  const digest = createHash('sha256')
  for await (const piece of body) {
    digest.update(piece)
    yield piece
  }
  digest.digest()
}

let left = job.objects
async function work () {
  while (left > 0) {
    left -= 1
    const source = await request(`${job.source}/${job.bytes}`, { dispatcher })
    const answer = await request(`${job.sink}/object`, {
      dispatcher,
      method: 'PUT',
      headers: { 'content-length': String(job.bytes) },
      body: job.digest ? digested(source.body) : source.body
    })
    const taken = await answer.body.text()
    if (taken !== String(job.bytes)) throw new Error(`the sink took ${taken} bytes of ${job.bytes}`)
  }
}

const before = process.resourceUsage()
const began = process.hrtime.bigint()
await Promise.all(Array.from({ length: job.concurrency }, work))
const elapsed = Number(process.hrtime.bigint() - began) / 1e9
const after = process.resourceUsage()
const cpu = (after.userCPUTime + after.systemCPUTime - before.userCPUTime - before.systemCPUTime) / 1e6
console.log(JSON.stringify({ elapsed_s: elapsed, cpu_s: cpu, peak_rss_bytes: after.maxRSS * 1024 }))
await dispatcher.close()
