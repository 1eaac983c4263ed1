// A provider that speaks HTTP/2 over TLS (Node's own server), and HTTP/1.1 to nobody.
//
//   h2_provider.mjs CERT KEY     prints `listening PORT`; GET /stats: {sessions, streams}
//
// POST streams `events` events (by the body's member), each with its number, and then the terminator.
import http2 from 'node:http2';
import fs from 'node:fs';

const [cert, key] = process.argv.slice(2);
const server = http2.createSecureServer({
  cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: false,
});
const count = { sessions: 0, streams: 0 };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function answer(stream, body) {
  count.streams += 1;
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
  for (let i = 0; i < body.events; i += 1) {
    stream.write(`data: {"choices":[{"delta":{"content":" t${i}"},"finish_reason":null}]}\n\n`);
    await pause(2);
  }
  if (body.reset) stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  else stream.end('data: [DONE]\n\n');
}

server.on('session', () => { count.sessions += 1; });
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (headers[':path'] === '/stats') {
    stream.respond({ ':status': 200 });
    stream.end(JSON.stringify(count));
    return;
  }
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (piece) => { text += piece; });
  stream.on('end', () => answer(stream, JSON.parse(text)));
});
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
