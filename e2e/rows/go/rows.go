package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A ring of goroutines that hand a number on.
func goroutines() {
	const count = 1000
	first := make(chan int)
	last := first
	for i := range count {
		in, out := last, make(chan int)
		go func() {
			for wanted := i; ; wanted += count {
				number := <-in
				holds(number == wanted, "goroutine %d got %d instead of %d", i, number, wanted)
				out <- number + 1
			}
		}()
		last = out
	}
	for number := 0; ; number += count {
		first <- number
		holds(<-last == number+count, "another number")
		ok()
	}
}

func timers() {
	ticker := time.NewTicker(20 * time.Millisecond)
	late := time.AfterFunc(time.Hour, func() { holds(false, "a timer of an hour came") })
	for before := time.Now(); ; {
		timeout, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		select {
		case <-ticker.C:
		case <-timeout.Done():
			holds(false, "no tick comes")
		}
		cancel()
		now := time.Now()
		holds(now.After(before), "time goes back")
		before = now
		holds(late.Reset(time.Hour), "the late timer is not active")
		ok()
	}
}

// A server and a client that keeps its connection. Its listener is one of Multipath TCP unless GODEBUG=multipathtcp=0.
func httpServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:7500")
	must(err)
	var count int
	go http.Serve(listener, http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		count++
		fmt.Fprint(out, count)
	}))
	var connections int
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		IdleConnTimeout: time.Hour,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connections++
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	for wanted := 1; ; wanted++ {
		answer, err := client.Get("http://127.0.0.1:7500/")
		must(err)
		text, err := io.ReadAll(answer.Body)
		must(err)
		answer.Body.Close()
		holds(string(text) == strconv.Itoa(wanted) && connections == 1, "answer %s instead of %d, connection %d", text, wanted, connections)
		ok()
	}
}

// A child program with pipes, which Go waits for by a pidfd, and programs that end.
func execRow() {
	child := exec.Command("/usr/bin/busybox", "cat")
	in, err := child.StdinPipe()
	must(err)
	out, err := child.StdoutPipe()
	must(err)
	must(child.Start())
	go func() { holds(false, "the child ended: %v", child.Wait()) }()
	lines := bufio.NewReader(out)
	for number := 0; ; number++ {
		fmt.Fprintln(in, number)
		ok()
		line, err := lines.ReadString('\n')
		must(err)
		holds(strings.TrimSpace(line) == strconv.Itoa(number), "line %s instead of %d", line, number)
		said, err := exec.Command("/usr/bin/busybox", "echo", "hello").Output()
		must(err)
		holds(string(said) == "hello\n", "a program says %s", said)
	}
}

func heap() {
	kept := map[string]*[4]uint64{}
	for i := range uint64(50000) {
		kept[strconv.FormatUint(i, 10)] = &[4]uint64{i, i * i, ^i, i ^ 77}
	}
	for round := 0; ; round++ {
		for key, value := range kept {
			i := value[0]
			holds(key == strconv.FormatUint(i, 10) && value[1] == i*i && value[2] == ^i && value[3] == i^77, "object %s", key)
		}
		key := uint64(round % 50000)
		kept[strconv.FormatUint(key, 10)] = &[4]uint64{key, key * key, ^key, key ^ 77}
		if round%10 == 0 {
			runtime.GC()
		}
		ok()
	}
}

// Through the runtime's poller.
func pipe() {
	reader, writer, err := os.Pipe()
	must(err)
	go func() {
		for number := 0; ; number++ {
			_, err := fmt.Fprintf(writer, "%d\n", number)
			must(err)
		}
	}()
	lines := bufio.NewReaderSize(reader, 16)
	for number := 0; ; number++ {
		must(reader.SetReadDeadline(time.Now().Add(10 * time.Second)))
		line, err := lines.ReadString('\n')
		must(err)
		holds(strings.TrimSpace(line) == strconv.Itoa(number), "line %s instead of %d", line, number)
		ok()
	}
}

func unixSocket() {
	listener, err := net.Listen("unix", "/tmp/go.sock")
	must(err)
	go func() {
		for {
			peer, err := listener.Accept()
			must(err)
			go io.Copy(peer, peer)
		}
	}()
	lasting, err := net.Dial("unix", "/tmp/go.sock")
	must(err)
	for {
		fresh, err := net.Dial("unix", "/tmp/go.sock")
		must(err)
		for _, client := range []net.Conn{lasting, fresh} {
			must(client.SetDeadline(time.Now().Add(10 * time.Second)))
			_, err := client.Write([]byte("hello"))
			must(err)
			text := make([]byte, 5)
			_, err = io.ReadFull(client, text)
			must(err)
			holds(string(text) == "hello", "got %s", text)
		}
		fresh.Close()
		ok()
	}
}

// Goroutines that stay on their threads.
func lockedThreads() {
	var group sync.WaitGroup
	numbers := make([]chan int, 4)
	for i := range numbers {
		numbers[i] = make(chan int)
		go func() {
			runtime.LockOSThread()
			own := syscall.Gettid()
			for {
				<-numbers[i]
				holds(syscall.Gettid() == own, "thread %d became %d", own, syscall.Gettid())
				group.Done()
			}
		}()
	}
	for {
		group.Add(len(numbers))
		for _, number := range numbers {
			number <- 1
		}
		group.Wait()
		ok()
	}
}

func signals() {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	for {
		must(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
		select {
		case <-got:
		case <-time.After(10 * time.Second):
			holds(false, "no signal comes")
		}
		ok()
	}
}

func inotifyOwn() {
	group, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	must(err)
	must(os.Mkdir("/tmp/watched", 0o700))
	_, err = syscall.InotifyAddWatch(group, "/tmp/watched", syscall.IN_CREATE)
	must(err)
	buffer := make([]byte, 4096)
	for number := 0; ; number++ {
		path := filepath.Join("/tmp/watched", strconv.Itoa(number))
		must(os.WriteFile(path, nil, 0o600))
		count, err := syscall.Read(group, buffer)
		must(err)
		holds(strings.Contains(string(buffer[:count]), strconv.Itoa(number)), "nothing of %d", number)
		must(os.Remove(path))
		ok()
	}
}

// An open file with its position, locked.
func file() {
	file, err := os.OpenFile("/tmp/file", os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	must(err)
	must(syscall.Flock(int(file.Fd()), syscall.LOCK_EX))
	for number := int64(1); ; number++ {
		_, err := file.WriteString("0123456789")
		must(err)
		ok()
		at, err := file.Seek(0, io.SeekCurrent)
		must(err)
		status, err := file.Stat()
		must(err)
		holds(at == number*10 && status.Size() == number*10, "at %d, size %d, after %d", at, status.Size(), number)
		other, err := os.Open("/tmp/file")
		must(err)
		holds(syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil, "the lock is free")
		other.Close()
	}
}
