// The far sides of the relay benchmark: a source that answers GET …/<bytes> with that many bytes, and a sink that
// swallows PUT bodies and answers with their length. One preallocated buffer; nothing is computed per byte.
'use strict'
const fs = require('fs')
const http = require('http')
const https = require('https')

const [role, certFile, keyFile] = process.argv.slice(2)
const block = Buffer.alloc(1 << 20, 'streamwarm')
const options = certFile ? { cert: fs.readFileSync(certFile), key: fs.readFileSync(keyFile) } : {}

function source (request, response) {
  let left = Number(request.url.slice(request.url.lastIndexOf('/') + 1))
  response.writeHead(200, { 'Content-Length': left })
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

function sink (request, response) {
  let taken = 0
  request.on('data', (piece) => { taken += piece.length })
  request.on('end', () => {
    const text = String(taken)
    response.writeHead(200, { 'Content-Length': text.length })
    response.end(text)
  })
}

const server = (certFile ? https : http).createServer(options, role === 'source' ? source : sink)
server.keepAliveTimeout = 60000
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
