// The far sides of the comparison with other workers, as light as they can be: nothing is computed per byte.
//
//     node far_side.js source|sink LATENCY_MS [CERT KEY]
//
// The source speaks as much of S3 as a download needs: GET and HEAD of a key that ends in `-<bytes>` or `-<bytes>.<ext>`.
// Signatures are not verified: that would cost it the same for every peer. The sink speaks as much of the Bot API as an
// upload needs; it swallows bodies and counts them. Both answer `GET /taken` with what they served.
'use strict'
const fs = require('fs')
const http = require('http')
const https = require('https')

const [role, latencyText, certFile, keyFile] = process.argv.slice(2)
const latency = Number(latencyText)
const block = Buffer.alloc(1 << 20, 'streamwarm')
const options = certFile ? { cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile) } : {}
const taken = { requests: 0, bytes: 0 }
const listing = '<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>'

const later = (act) => latency ? setTimeout(act, latency) : act()

function reply (response, status, text, type) {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

function source (request, response) {
  const path = request.url.split('?')[0]
  const size = /-(\d+)(\.\w+)?$/.exec(path)
  if (!size) { reply(response, 200, listing, 'application/xml'); return }
  later(() => serve(request, response, Number(size[1]), path))
}

function serve (request, response, size, path) {
  response.writeHead(200, {
    'Content-Length': size,
    'Content-Type': 'application/octet-stream',
    ETag: `"${Buffer.from(path).toString('hex').slice(-32)}"`,
    'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
    'Accept-Ranges': 'bytes'
  })
  if (request.method === 'HEAD') { response.end(); return }
  taken.requests += 1
  taken.bytes += size
  let left = size
  const more = () => {
    while (left > 0) {
      const piece = left < block.length ? block.subarray(0, left) : block
      left -= piece.length
      if (!response.write(piece)) { response.once('drain', more); return }
    }
    response.end()
  }
  more()
}

const chat = { id: -1001, type: 'supergroup', title: 'Warm-up' }

function result (method) {
  if (method === 'getMe') return { id: 4242, is_bot: true, first_name: 'Bench', username: 'bench_bot' }
  if (method === 'getChat') return { ...chat, accent_color_id: 0, max_reaction_count: 11 }
  const number = taken.requests
  const file = { file_id: `file-${number}`, file_unique_id: `unique-${number}`, file_size: 1, width: 1280, height: 720, duration: 1 }
  const kind = method.slice(4).toLowerCase()
  return { message_id: number, date: 1767225600, chat, [kind]: kind === 'photo' ? [file] : file }
}

function sink (request, response) {
  const method = request.url.split('?')[0].split('/').pop()
  let bytes = 0
  request.on('data', (piece) => { bytes += piece.length })
  request.on('end', () => {
    if (method.startsWith('send')) { taken.requests += 1; taken.bytes += bytes }
    later(() => reply(response, 200, JSON.stringify({ ok: true, result: result(method) }), 'application/json'))
  })
}

const handle = role === 'source' ? source : sink
const server = (certFile ? https : http).createServer(options, (request, response) => {
  if (request.url === '/taken') reply(response, 200, JSON.stringify(taken), 'application/json')
  else handle(request, response)
})
server.keepAliveTimeout = 300000
server.requestTimeout = 0
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
