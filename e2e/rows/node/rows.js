// Small programs that use one feature each: `rows.js NAME`.
'use strict';
const assert = require('node:assert');
const child_process = require('node:child_process');
const crypto = require('node:crypto');
const dgram = require('node:dgram');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const worker_threads = require('node:worker_threads');

let rounds = 0;
// The state was as it has to be.
const ok = () => fs.writeSync(1, `ok ${++rounds}\n`);
const rest = (ms = 50) => new Promise((resolve) => setTimeout(resolve, ms));
const once = (emitter, event) => Promise.race([
  new Promise((resolve) => emitter.once(event, resolve)),
  rest(10000).then(() => Promise.reject(new Error(`waited for ${event}`))),
]);
const broken = (error) => {
  const said = String(error && error.stack || error).split('\n').slice(0, 3).join(' | ');
  fs.writeSync(1, `BROKEN: after ${rounds} rounds: ${said}\n`);
  process.exit(1);
};
process.on('uncaughtException', broken);
process.on('unhandledRejection', broken);

const rows = {
  // Timers, immediates, microtasks, and their order.
  async 'event-loop'() {
    let ticks = 0;
    setInterval(() => ticks++, 20);
    for (;;) {
      const before = ticks;
      const order = [];
      setImmediate(() => order.push('immediate'));
      process.nextTick(() => order.push('tick'));
      Promise.resolve().then(() => order.push('promise'));
      await rest(100);
      assert.strictEqual(order[2], 'immediate');
      assert.deepStrictEqual(order.sort(), ['immediate', 'promise', 'tick']);
      assert(ticks > before);
      ok();
    }
  },
  // A server and a client that keeps its connection.
  async http() {
    let count = 0;
    const server = http.createServer((request, response) => response.end(String(++count)));
    server.keepAliveTimeout = 3600e3;
    server.listen(7300, '127.0.0.1');
    await once(server, 'listening');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const get = () => new Promise((resolve, reject) => {
      const request = http.get({ port: 7300, host: '127.0.0.1', agent }, (response) => {
        let text = '';
        response.on('data', (part) => { text += part; });
        response.on('end', () => resolve([Number(text), request.reusedSocket]));
      }).on('error', reject);
    });
    await get();
    for (let wanted = 2; ; wanted++) {
      await rest();
      assert.deepStrictEqual(await get(), [wanted, true]);
      ok();
    }
  },
  // Threads with messages, shared memory and atomics.
  async 'worker-threads'() {
    const memory = new Int32Array(new SharedArrayBuffer(64));
    const code = `const { parentPort, workerData } = require('node:worker_threads');
      parentPort.on('message', (n) => { Atomics.add(workerData, 0, 1); parentPort.postMessage(n * 2); });`;
    const workers = [0, 1].map(() => new worker_threads.Worker(code, { eval: true, workerData: memory }));
    for (let n = 1; ; n++) {
      for (const worker of workers) {
        const answer = once(worker, 'message');
        worker.postMessage(n);
        assert.strictEqual(await answer, n * 2);
      }
      assert.strictEqual(Atomics.load(memory, 0), n * 2);
      await rest();
      ok();
    }
  },
  // A child program with pipes, which Node.js makes of unix sockets.
  async 'child-process'() {
    const child = child_process.spawn('/usr/bin/busybox', ['cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    for (let n = 0; ; n++) {
      const answer = once(child.stdout, 'data');
      child.stdin.write(`${n}\n`);
      assert.strictEqual(Number(await answer), n);
      assert.strictEqual(child.exitCode, null);
      await rest();
      ok();
    }
  },
  // A child of Node.js with its channel of messages.
  async fork() {
    const child = child_process.fork(__filename, ['answer']);
    for (let n = 0; ; n++) {
      const answer = once(child, 'message');
      child.send({ n });
      assert.deepStrictEqual(await answer, { n: n + 1 });
      await rest();
      ok();
    }
  },
  async answer() {
    process.on('message', ({ n }) => process.send({ n: n + 1 }));
  },
  // Files and hashes, which go through the pool of threads.
  async 'thread-pool'() {
    const file = await fs.promises.open('/tmp/pool', 'w+');
    for (let n = 0; ; n++) {
      const text = String(n).padStart(8, '0');
      await file.write(text, n % 100 * 4096);
      await rest();
      const { buffer } = await file.read(Buffer.alloc(8), 0, 8, n % 100 * 4096);
      assert.strictEqual(buffer.toString(), text);
      const key = await new Promise((resolve) => crypto.pbkdf2('a', 'b', 1, 8, 'sha256', (_, it) => resolve(it)));
      assert.strictEqual(key.length, 8);
      ok();
    }
  },
  // Datagrams, and a server with a unix socket.
  async sockets() {
    const udp = dgram.createSocket('udp4');
    udp.bind(7301, '127.0.0.1');
    await once(udp, 'listening');
    const server = net.createServer((peer) => peer.pipe(peer)).listen('/tmp/node.sock');
    await once(server, 'listening');
    const client = net.connect('/tmp/node.sock');
    await once(client, 'connect');
    for (let n = 0; ; n++) {
      const answer = once(client, 'data');
      client.write(String(n));
      assert.strictEqual(Number(await answer), n);
      let came = false;
      udp.once('message', () => { came = true; });
      for (let i = 0; i < 50 && !came; i++) {
        if (i % 10 === 0) udp.send(String(n), 7301, '127.0.0.1');
        await rest(20);
      }
      assert(came, 'no datagram comes');
      await rest();
      ok();
    }
  },
  // Compiled code and its garbage, with references that must stay.
  async heap() {
    const kept = new Map();
    for (let i = 0; i < 50000; i++) kept.set(`k${i}`, { i, text: 'x'.repeat(i % 50), list: [i, i + 0.5] });
    const weak = new WeakMap();
    for (const value of kept.values()) weak.set(value, value.i);
    for (let n = 0; ; n++) {
      let sum = 0;
      for (const [key, value] of kept) {
        sum += value.list[1] - value.list[0];
        if (key !== `k${value.i}` || weak.get(value) !== value.i) throw new Error(`${key} is ${value.i}`);
      }
      assert.strictEqual(sum, 25000);
      kept.set(`k${n % 50000}`, { i: n % 50000, text: 'y', list: [n, n + 0.5] });
      weak.set(kept.get(`k${n % 50000}`), n % 50000);
      await rest();
      ok();
    }
  },
  // A watch on a folder: the container's own, or a volume.
  async watch(folder = '/tmp') {
    const names = new Set();
    fs.watch(folder, (event, name) => names.add(name));
    for (let n = 0; ; n++) {
      fs.writeFileSync(`${folder}/w${n}`, '');
      for (let i = 0; i < 500 && !names.has(`w${n}`); i++) await rest(20);
      assert(names.has(`w${n}`), 'nothing is told');
      fs.unlinkSync(`${folder}/w${n}`);
      await rest();
      ok();
    }
  },
  async 'watch-volume'() {
    await rows.watch('/volume');
  },
};

rows[process.argv[2]]().catch(broken);
