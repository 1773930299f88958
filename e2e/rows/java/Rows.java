import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.ref.WeakReference;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Exchanger;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Small programs that use one feature each: {@code java Rows NAME}. */
final class Rows {
    private static final PrintStream OUT = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true);
    private static long rounds;

    interface Row {
        void run() throws Exception;
    }

    /** The state was as it has to be. */
    static void ok() throws InterruptedException {
        OUT.println("ok " + ++rounds);
        Thread.sleep(50);
    }

    static void holds(boolean condition, String what) {
        if (!condition) throw new AssertionError(what);
    }

    static synchronized void broken(Throwable error) {
        StringBuilder said = new StringBuilder("BROKEN: after " + rounds + " rounds: " + error);
        for (int i = 0; i < Math.min(2, error.getStackTrace().length); i++) said.append(" | ").append(error.getStackTrace()[i]);
        OUT.println(said.toString().replace('\n', ' '));
        Runtime.getRuntime().halt(1);
    }

    public static void main(String[] words) {
        Map<String, Row> rows = Map.of("heap", Rows::heap, "selector", Rows::selector, "virtual-threads", Rows::virtualThreads,
                "scheduler", Rows::scheduler, "process", Rows::process, "mapped-file", Rows::mappedFile, "monitors", Rows::monitors,
                "watch-own", () -> watch("/tmp/watched"), "watch-volume", () -> watch("/volume"), "sockets", Rows::sockets);
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> broken(error));
        try {
            rows.get(words[0]).run();
        } catch (Throwable error) {
            broken(error);
        }
    }

    /** Objects that the collector moves, code that is compiled and thrown away again. */
    static void heap() throws Exception {
        Map<Integer, int[]> kept = new HashMap<>();
        List<WeakReference<int[]>> weak = new ArrayList<>();
        for (int i = 0; i < 5000; i++) {
            kept.put(i, new int[] {i, i * 3, i ^ 0x5555});
            weak.add(new WeakReference<>(kept.get(i)));
        }
        for (int round = 0; ; round++) {
            long garbage = 0;
            for (int i = 0; i < 20000; i++) garbage += new byte[100 + i % 50].length;
            holds(garbage > 0, "garbage");
            for (int i = 0; i < 5000; i++) {
                int[] value = kept.get(i);
                holds(value[0] == i && value[1] == i * 3 && value[2] == (i ^ 0x5555), "object " + i);
                holds(weak.get(i).get() == value, "weak reference " + i);
            }
            if (round % 20 == 0) System.gc();
            ok();
        }
    }

    /** One thread with a selector for a server and its clients. */
    static void selector() throws Exception {
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", 7400));
        server.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
        Thread.ofPlatform().daemon().start(() -> {
            try {
                ByteBuffer buffer = ByteBuffer.allocateDirect(64);
                while (true) {
                    selector.select();
                    for (SelectionKey key : selector.selectedKeys()) {
                        if (key.isAcceptable()) {
                            server.accept().configureBlocking(false).register(selector, SelectionKey.OP_READ);
                        } else {
                            SocketChannel peer = (SocketChannel) key.channel();
                            buffer.clear();
                            if (peer.read(buffer) < 0) peer.close();
                            else peer.write(buffer.flip());
                        }
                    }
                    selector.selectedKeys().clear();
                }
            } catch (IOException error) {
                broken(error);
            }
        });
        SocketChannel lasting = SocketChannel.open(new InetSocketAddress("127.0.0.1", 7400));
        for (long number = 0; ; number++) {
            try (SocketChannel fresh = SocketChannel.open(new InetSocketAddress("127.0.0.1", 7400))) {
                for (SocketChannel client : List.of(lasting, fresh)) {
                    ByteBuffer buffer = ByteBuffer.allocate(8).putLong(number).flip();
                    client.write(buffer);
                    buffer.clear();
                    while (buffer.hasRemaining()) holds(client.read(buffer) >= 0, "the server closed");
                    holds(buffer.flip().getLong() == number, "another number");
                }
            }
            ok();
        }
    }

    /** A thousand threads that sleep and count, on a few of the kernel's. */
    static void virtualThreads() throws Exception {
        AtomicLong[] counts = new AtomicLong[1000];
        for (int i = 0; i < counts.length; i++) {
            AtomicLong count = counts[i] = new AtomicLong();
            Thread.startVirtualThread(() -> {
                try {
                    while (true) {
                        Thread.sleep(200);
                        count.incrementAndGet();
                    }
                } catch (InterruptedException error) {
                    broken(error);
                }
            });
        }
        long[] seen = new long[counts.length];
        while (true) {
            for (int i = 0; i < seen.length; i++) {
                for (int tries = 0; counts[i].get() == seen[i]; tries++) {
                    holds(tries < 1000, "virtual thread " + i + " stands at " + seen[i]);
                    Thread.sleep(10);
                }
                seen[i] = counts[i].get();
            }
            ok();
        }
    }

    static void scheduler() throws Exception {
        var executor = Executors.newScheduledThreadPool(2);
        var ticks = new LinkedBlockingQueue<Long>();
        var number = new AtomicLong();
        executor.scheduleAtFixedRate(() -> ticks.add(number.getAndIncrement()), 0, 20, TimeUnit.MILLISECONDS);
        for (long wanted = 0, before = System.nanoTime(); ; wanted++) {
            Long got = ticks.poll(10, TimeUnit.SECONDS);
            holds(got != null && got == wanted, got + " instead of " + wanted);
            holds(System.nanoTime() > before, "time goes back");
            before = System.nanoTime();
            OUT.println("ok " + ++rounds);
        }
    }

    /** A child program with pipes. */
    static void process() throws Exception {
        Process child = new ProcessBuilder("/usr/bin/busybox", "cat").start();
        var output = child.outputWriter();
        BufferedReader input = child.inputReader();
        for (long number = 0; ; number++) {
            output.write(number + "\n");
            output.flush();
            ok();
            holds(Long.parseLong(input.readLine()) == number && child.isAlive(), "the child's answer");
        }
    }

    static void mappedFile() throws Exception {
        FileChannel file = FileChannel.open(Path.of("/tmp/mapped"), StandardOpenOption.CREATE, StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        FileLock lock = file.lock(0, 100, false);
        MappedByteBuffer map = file.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
        for (int round = 0; ; round++) {
            map.putInt(round % 200 * 4096, round);
            ok();
            ByteBuffer buffer = ByteBuffer.allocate(4);
            file.read(buffer, round % 200 * 4096);
            holds(buffer.flip().getInt() == round && lock.isValid(), "the file");
        }
    }

    /** Threads that meet by monitors and exchangers, with values of their own. */
    static void monitors() throws Exception {
        Exchanger<Long> exchanger = new Exchanger<>();
        Object monitor = new Object();
        long[] guarded = new long[1];
        ThreadLocal<Long> own = ThreadLocal.withInitial(() -> 0L);
        Thread.ofPlatform().daemon().start(() -> {
            try {
                while (true) {
                    long got = exchanger.exchange(own.get());
                    own.set(own.get() + 1);
                    synchronized (monitor) {
                        guarded[0] = got;
                        monitor.notifyAll();
                    }
                }
            } catch (InterruptedException error) {
                broken(error);
            }
        });
        for (long number = 0; ; number++) {
            holds(exchanger.exchange(number + 7, 10, TimeUnit.SECONDS) == number, "the other's value");
            synchronized (monitor) {
                while (guarded[0] != number + 7) monitor.wait(10_000);
            }
            ok();
        }
    }

    /** A client and a server with blocking sockets, and a unix socket. */
    static void sockets() throws Exception {
        ServerSocket server = new ServerSocket(7401, 8, InetAddress.getLoopbackAddress());
        Thread.ofVirtual().start(() -> {
            try (Socket peer = server.accept()) {
                peer.getInputStream().transferTo(peer.getOutputStream());
            } catch (IOException error) {
                broken(error);
            }
        });
        Socket client = new Socket(InetAddress.getLoopbackAddress(), 7401);
        UnixDomainSocketAddress name = UnixDomainSocketAddress.of("/tmp/java.sock");
        ServerSocketChannel local = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(name);
        SocketChannel one = SocketChannel.open(name), two = local.accept();
        for (int round = 0; ; round++) {
            client.getOutputStream().write(round & 0x7f);
            one.write(ByteBuffer.allocate(4).putInt(round).flip());
            ok();
            holds(client.getInputStream().read() == (round & 0x7f), "the echo");
            ByteBuffer buffer = ByteBuffer.allocate(4);
            two.read(buffer);
            holds(buffer.flip().getInt() == round, "the unix socket");
        }
    }

    static void watch(String folder) throws Exception {
        Path path = Path.of(folder);
        Files.createDirectories(path);
        var service = path.getFileSystem().newWatchService();
        path.register(service, StandardWatchEventKinds.ENTRY_CREATE);
        var names = ConcurrentHashMap.<String>newKeySet();
        for (int round = 0; ; round++) {
            Path file = Files.createFile(path.resolve("f" + round));
            while (!names.contains("f" + round)) {
                var key = service.poll(10, TimeUnit.SECONDS);
                holds(key != null, "nothing is told of f" + round);
                key.pollEvents().forEach(event -> names.add(event.context().toString()));
                key.reset();
            }
            Files.delete(file);
            ok();
        }
    }
}
