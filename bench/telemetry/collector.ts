/**
 * A collector in a process of its own: accepts what it gets, or never responds (`hang`). Prints its
 * port.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

const hangs = process.argv.includes('hang');

const server = http.createServer((request, response) => {
  request.resume().once('end', () => {
    if (!hangs) {
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  console.log((server.address() as AddressInfo).port);
});
