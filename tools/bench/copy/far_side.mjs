// A bucket for the copy benchmark that costs next to nothing: objects of zeros that are listed and read, and uploads
// that are counted and dropped. `node far_side.mjs [CERTIFICATE KEY]` prints its port and serves until its input ends.
//
// GET /.counted answers how many objects and bytes were stored, and forgets them; POST /.objects takes
// the source's objects as JSON: [[key, size], …].

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";

const ZEROS = Buffer.alloc(256 * 1024);
const held = new Map(); // key → size
let uploads = new Map(); // upload id → bytes so far
let lastUpload = 0;
let counted = { objects: 0, bytes: 0 };

function store(key, size) {
  held.set(key, size);
  if (key.startsWith(".streamwarm/")) return;
  counted.objects += 1;
  counted.bytes += size;
}

async function drain(request) {
  let bytes = 0;
  for await (const piece of request) bytes += piece.length;
  return bytes;
}

function escape(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

function xml(response, text) {
  response.setHeader("Content-Type", "application/xml");
  response.end(`<?xml version="1.0" encoding="UTF-8"?>${text}`);
}

function list(response, prefix) {
  const items = [...held]
    .filter(([key]) => key.startsWith(prefix))
    .map(
      ([key, size]) =>
        `<Contents><Key>${escape(key)}</Key><Size>${size}</Size><ETag>"e"</ETag>` +
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>",
    );
  xml(response, `<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>${items.join("")}</ListBucketResult>`);
}

async function send(response, size) {
  for (let left = size; left > 0; left -= ZEROS.length) {
    const piece = left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
    if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve));
    if (response.destroyed) return;
  }
  response.end();
}

async function read(request, response, key, query) {
  if (key === "") return list(response, query.get("prefix") ?? "");
  const size = held.get(key);
  if (size === undefined) {
    response.statusCode = 404;
    return response.end();
  }
  response.writeHead(200, {
    "Content-Length": size,
    ETag: `"${size}-e"`,
    "Content-Type": "application/octet-stream",
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-amz-meta-mtime": "1767225600",
  });
  return request.method === "HEAD" ? response.end() : send(response, size);
}

async function write(request, response, key, query) {
  const bytes = await drain(request);
  const upload = query.get("uploadId");
  if (request.method === "DELETE") {
    if (upload) uploads.delete(upload);
    else held.delete(key);
    response.statusCode = 204;
  } else if (request.method === "POST" && upload) {
    store(key, uploads.get(upload));
    uploads.delete(upload);
    return xml(response, '<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>');
  } else if (request.method === "POST") {
    uploads.set(String((lastUpload += 1)), 0);
    return xml(
      response,
      `<InitiateMultipartUploadResult><UploadId>${lastUpload}</UploadId></InitiateMultipartUploadResult>`,
    );
  } else if (upload) {
    uploads.set(upload, uploads.get(upload) + bytes);
  } else if (key) {
    store(key, bytes);
  }
  response.setHeader("ETag", '"e"');
  return response.end();
}

async function serve(request, response) {
  const url = new URL(request.url, "http://h");
  if (url.pathname === "/.counted") {
    response.end(JSON.stringify(counted));
    counted = { objects: 0, bytes: 0 };
    held.clear();
    return;
  }
  if (url.pathname === "/.objects") {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    for (const [key, size] of JSON.parse(Buffer.concat(pieces).toString())) held.set(key, size);
    response.end();
    return;
  }
  const key = decodeURIComponent(url.pathname.split("/").slice(2).join("/"));
  const reads = request.method === "GET" || request.method === "HEAD";
  await (reads ? read : write)(request, response, key, url.searchParams);
}

const [certificate, key] = process.argv.slice(2);
const handler = (request, response) => serve(request, response).catch(() => response.destroy());
const server = certificate
  ? createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, handler)
  : createServer(handler);
server.requestTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
