"""Small programs that use one feature each: `rows.py NAME`."""
import array
import asyncio
import ctypes
import gc
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import queue
import select
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import row
from row import ok, rest


def asyncio_row():
    """Tasks with timers, streams of TCP, and a queue between them."""

    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()

    async def timer(out):
        number = 0
        while True:
            await asyncio.sleep(0.02)
            await out.put(number)
            number += 1

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 7200)
        reader, writer = await asyncio.open_connection("127.0.0.1", 7200)
        numbers = asyncio.Queue(5)
        task = asyncio.create_task(timer(numbers))
        wanted = 0
        while True:
            got = await asyncio.wait_for(numbers.get(), 10)
            assert got == wanted, (got, wanted)
            wanted += 1
            writer.write(b"%d\n" % got)
            await asyncio.sleep(0.05)
            assert int(await asyncio.wait_for(reader.readline(), 10)) == got
            assert not task.done() and server.is_serving()
            ok()

    asyncio.run(main())


def threads():
    """Threads that hand numbers on by queues, each with a local of its own."""
    queues = [queue.Queue() for _ in range(5)]
    local = threading.local()

    def hand_on(at):
        local.count = 0
        while True:
            number = queues[at].get()
            assert number == local.count, (at, number, local.count)
            local.count += 1
            queues[at + 1].put(number)

    for at in range(4):
        threading.Thread(target=hand_on, args=(at,), daemon=True).start()
    number = 0
    while True:
        queues[0].put(number)
        rest()
        assert queues[4].get(timeout=10) == number
        number += 1
        ok()


def square(requests, answers, lock, total):
    while True:
        number = requests.get()
        with lock:
            total.value += 1
        answers.put(number * number)


def multiprocessing_row():
    """Processes with queues, a lock and a value: POSIX semaphores whose names are removed, and pipes."""
    context = multiprocessing.get_context("fork")
    requests, answers, lock, total = context.Queue(), context.Queue(), context.Lock(), context.Value("i", 0)
    for _ in range(2):
        context.Process(target=square, args=(requests, answers, lock, total), daemon=True).start()
    number = 0
    while True:
        requests.put(number)
        rest()
        assert answers.get(timeout=10) == number * number
        number += 1
        with lock:
            assert total.value == number, (total.value, number)
        ok()


def shared_memory():
    """A named block that a child process changes."""
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=65536)
    if os.fork() == 0:
        while True:
            block.buf[8:16] = bytes(block.buf[0:8])
            time.sleep(0.002)
    number = 0
    while True:
        number += 1
        block.buf[0:8] = number.to_bytes(8, "little")
        until = time.monotonic() + 10
        while bytes(block.buf[8:16]) != number.to_bytes(8, "little"):
            assert time.monotonic() < until, "the child does not answer"
            time.sleep(0.005)
        rest()
        ok()


def subprocess_row():
    """A child program with which it talks by pipes."""
    child = subprocess.Popen(["/usr/bin/busybox", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    number = 0
    while True:
        child.stdin.write(b"%d\n" % number)
        child.stdin.flush()
        rest()
        assert int(child.stdout.readline()) == number
        number += 1
        assert child.poll() is None
        ok()


def short_children():
    """Programs that are started all the time, and end."""
    number = 0
    while True:
        got = subprocess.run(["/usr/bin/busybox", "echo", str(number)], capture_output=True, timeout=20, check=True)
        assert int(got.stdout) == number
        number += 1
        rest()
        ok()


def sqlite():
    """A database with a write-ahead log: mapped shared memory, locks, and rows of before."""
    base = sqlite3.connect("/tmp/base.db", isolation_level=None)
    assert base.execute("pragma journal_mode=wal").fetchone() == ("wal",)
    base.execute("create table numbers (number integer)")
    other = sqlite3.connect("/tmp/base.db", isolation_level=None)
    number = 0
    while True:
        base.execute("begin immediate")
        base.execute("insert into numbers values (?)", (number,))
        rest()
        base.execute("commit")
        number += 1
        assert other.execute("select count(*), max(number) from numbers").fetchone() == (number, number - 1)
        ok()


def signals():
    """A timer's signal in a handler of Python's, and a wake-up descriptor."""
    seen = []
    one, two = socket.socketpair()
    one.setblocking(False)
    signal.set_wakeup_fd(one.fileno())
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
    while True:
        count = len(seen)
        two.settimeout(10)
        assert set(two.recv(1000)) == {signal.SIGALRM}
        rest()
        assert len(seen) > count
        ok()


def epoll():
    """Edge-triggered, over a pipe and a socket."""
    poll = select.epoll()
    reader, writer = os.pipe()
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    poll.register(reader, select.EPOLLIN | select.EPOLLET)
    poll.register(two.fileno(), select.EPOLLIN)
    while True:
        os.write(writer, b"a")
        one.send(b"bb")
        rest()
        assert {fd for fd, _ in poll.poll(10)} == {reader, two.fileno()}
        assert os.read(reader, 10) == b"a" and two.recv(10) == b"bb"
        ok()


def heap():
    """Many small objects, cycles, a generator in the middle, and the collector."""

    def generator():
        number = 0
        while True:
            yield number
            number += 1

    numbers = generator()
    table = {str(key): [key, array.array("d", [key] * 10)] for key in range(20000)}
    for entry in table.values():
        entry.append(entry)
    number = 0
    while True:
        assert next(numbers) == number
        key = str(number * 7919 % 20000)
        entry = table[key]
        assert entry[0] == int(key) and entry[1][9] == entry[0] and entry[2] is entry
        number += 1
        if number % 20 == 0:
            gc.collect()
        rest()
        ok()


def temporary_file():
    """A file without a name, and one that is mapped."""
    file = tempfile.TemporaryFile()
    file.truncate(1 << 20)
    view = mmap.mmap(file.fileno(), 1 << 20)
    number = 0
    while True:
        file.seek(number % 100 * 4096)
        file.write(b"%08d" % number)
        file.flush()
        rest()
        assert int(view[number % 100 * 4096:number % 100 * 4096 + 8]) == number
        number += 1
        ok()


def unix_server():
    """A server on a unix socket with a name, and a client."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("/tmp/server")
    server.listen()

    def serve():
        while True:
            peer, _ = server.accept()
            threading.Thread(target=lambda peer: [peer.sendall(text) for text in iter(lambda: peer.recv(100), b"")],
                             args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    lasting = socket.socket(socket.AF_UNIX)
    lasting.connect("/tmp/server")
    while True:
        with socket.socket(socket.AF_UNIX) as fresh:
            fresh.connect("/tmp/server")
            for client in (lasting, fresh):
                client.settimeout(10)
                client.sendall(b"hello")
                assert client.recv(100) == b"hello"
        rest()
        ok()


def pidfd():
    """A child that is waited for by its descriptor, as asyncio does."""
    child = subprocess.Popen(["/usr/bin/busybox", "cat"], stdin=subprocess.PIPE)
    descriptor = os.pidfd_open(child.pid)
    while True:
        signal.pidfd_send_signal(descriptor, 0)
        assert select.select([descriptor], [], [], 0)[0] == []
        rest()
        ok()


def mptcp():
    """Multipath TCP, as a program asks for it."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    server.bind(("127.0.0.1", 7201))
    server.listen()
    while True:
        with socket.create_connection(("127.0.0.1", 7201)) as client:
            peer, _ = server.accept()
            client.sendall(b"x")
            assert peer.recv(1) == b"x"
            peer.close()
        rest()
        ok()


def vsock():
    """A listener for the machine's host."""
    server = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    server.bind((socket.VMADDR_CID_ANY, 7202))
    server.listen()
    while True:
        assert server.getsockname()[1] == 7202
        rest()
        ok()


def watch_own():
    """A watch on the container's own files, as libraries that reload a program set it."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.mkdir("/tmp/code")
    group = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(group, b"/tmp/code", 0x100) > 0
    number = 0
    while True:
        path = f"/tmp/code/{number}"
        open(path, "w").close()
        assert select.select([group], [], [], 10)[0]
        assert str(number).encode() in os.read(group, 4096)
        os.unlink(path)
        number += 1
        rest()
        ok()


row.main({
    "asyncio": asyncio_row,
    "threads": threads,
    "multiprocessing": multiprocessing_row,
    "shared-memory": shared_memory,
    "subprocess": subprocess_row,
    "short-children": short_children,
    "sqlite": sqlite,
    "signals": signals,
    "epoll": epoll,
    "heap": heap,
    "temporary-file": temporary_file,
    "unix-server": unix_server,
    "pidfd": pidfd,
    "mptcp": mptcp,
    "vsock": vsock,
    "watch-own": watch_own,
})
