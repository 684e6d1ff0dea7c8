// The pre-warm worker that streamwarm replaces, written afresh from its description: a queue in memory, five transfers at
// a time, one undici agent of 50 connections, a cached signing key, a five-minute cache of 50 whole objects, multipart
// uploads. `mode` is `buffered`, as users run it, or `streaming`: the same with the body piped through and no cache.
//
//     node worker.mjs '{"source": URL, "sink": URL, "mode": "buffered", …}'
//
// Jobs come as JSON lines on standard input; a line goes out when each has ended, and one with what it all took.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Agent, request } from 'undici'
import { BufferCache } from './cache.mjs'
import { Queue } from './queue.mjs'
import { Signer } from './sigv4.mjs'

const CONCURRENCY = 5
const MAX_ATTEMPTS = 5
const BOUNDARY = '----seedworkerboundary7MA4YWxkTrZu0gW'
const METHODS = { photo: 'sendPhoto', video: 'sendVideo', document: 'sendDocument' }

const given = JSON.parse(process.argv[2])
const dispatcher = new Agent({
  connections: 50,
  pipelining: 1,
  keepAliveTimeout: 150_000,
  connect: given.ca_file ? { ca: readFileSync(given.ca_file) } : {}
})
const signer = new Signer({ accessKeyId: given.access_key_id, secretAccessKey: given.secret_access_key })
const cache = new BufferCache()
const queue = new Queue()
let busy = 0
let isClosed = false
let isFinished = false
let wakeReader = () => {}

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

async function open (job) {
  const url = new URL(`${given.source}/${given.bucket}/${job.key}`)
  const answer = await request(url, { dispatcher, headers: signer.headers(url) })
  if (answer.statusCode !== 200) throw new Error(`source answered ${answer.statusCode}`)
  return answer
}

async function buffered (job) {
  let buffer = cache.get(job.key)
  if (!buffer) {
    const answer = await open(job)
    buffer = Buffer.from(await answer.body.arrayBuffer())
    cache.put(job.key, buffer)
  }
  return { length: buffer.length, pieces: [buffer] }
}

async function streaming (job) {
  const answer = await open(job)
  return { length: Number(answer.headers['content-length']), pieces: answer.body }
}

async function send (job, { length, pieces }) {
  const before = Buffer.from(
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n${given.chat}\r\n` +
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${job.kind}"; filename="file"\r\n` +
    'Content-Type: application/octet-stream\r\n\r\n')
  const after = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  async function * body () { yield before; yield * pieces; yield after }
  const answer = await request(`${given.sink}/bot${given.token}/${METHODS[job.kind]}`, {
    dispatcher,
    method: 'POST',
    headers: {
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': String(before.length + length + after.length)
    },
    body: body()
  })
  const told = await answer.body.json()
  if (!told.ok) throw new Error(`bot answered ${told.error_code}`)
  const media = told.result[job.kind]
  return (Array.isArray(media) ? media.at(-1) : media).file_id
}

async function work (job) {
  for (let attempt = 1; ; attempt++) {
    try {
      const fileId = await send(job, await (given.mode === 'buffered' ? buffered : streaming)(job))
      say({ number: job.number, ok: true, file_id: fileId })
      return
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) { say({ number: job.number, ok: false, error: String(error) }); return }
    }
  }
}

function next () {
  while (busy < CONCURRENCY) {
    const job = queue.take()
    if (!job) break
    wakeReader()
    busy++
    work(job).finally(() => { busy--; next() })
  }
  if (isClosed && busy === 0 && !isFinished) finish()
}

async function finish () {
  isFinished = true
  const after = process.resourceUsage()
  const cpu = after.userCPUTime + after.systemCPUTime - before.userCPUTime - before.systemCPUTime
  say({ end: true, cpu_s: cpu / 1e6 })
  await dispatcher.close()
}

say({ ready: true })
const before = process.resourceUsage()
for await (const line of createInterface({ input: process.stdin })) {
  // A full queue refuses; whoever feeds it has to wait, here as there.
  while (queue.isFull) await new Promise((resolve) => { wakeReader = resolve })
  queue.add(JSON.parse(line))
  next()
}
isClosed = true
next()
