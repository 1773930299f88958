// Small programs that use one feature each: `go-rows NAME`.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

var rounds atomic.Uint64

// ok says that the state was as it has to be, and waits a little.
func ok() {
	fmt.Printf("ok %d\n", rounds.Add(1))
	time.Sleep(50 * time.Millisecond)
}

// holds ends the program if it was not.
func holds(condition bool, what string, words ...any) {
	if !condition {
		said := strings.ReplaceAll(fmt.Sprintf(what, words...), "\n", " ")
		fmt.Printf("BROKEN: after %d rounds: %s\n", rounds.Load(), said)
		os.Exit(1)
	}
}

func must(err error) { holds(err == nil, "%v", err) }

func main() {
	rows := map[string]func(){
		"goroutines": goroutines, "timers": timers, "http": httpServer, "exec": execRow, "heap": heap, "pipe": pipe,
		"unix": unixSocket, "locked-threads": lockedThreads, "signals": signals, "inotify-own": inotifyOwn, "file": file,
	}
	row := rows[os.Args[1]]
	holds(row != nil, "no row %s", os.Args[1])
	row()
}
