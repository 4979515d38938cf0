// Command echo is the challenge of the demo and of the tests: it tells, over
// HTTP, plain TCP and UDP, which instance it belongs to, so that any port can
// be asked whose it is.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage:
  echo serve [--http ADDR] [--tcp ADDR] [--udp ADDR] [--upstream HOST:PORT]
             [--delay DURATION] [--exit-after DURATION] [--exit-code N] [--ignore-sigterm]
             [--close-after DURATION]
  echo check HOST:PORT   exit 0 when something listens there, 1 otherwise
  echo sleep             do nothing until told to stop
  echo syscall N[:ARG…]… make system calls and print the error number of each
`

func main() {
	command, arguments := "serve", []string{}
	if len(os.Args) > 1 {
		command, arguments = os.Args[1], os.Args[2:]
	}
	switch command {
	case "serve":
		os.Exit(serve(arguments))
	case "check":
		os.Exit(check(arguments))
	case "syscall":
		os.Exit(systemCalls(arguments))
	case "sleep":
		<-stopSignal()
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// stopSignal delivers the signals that ask a container to end. A process with
// id 1 gets no default action for them, so they have to be taken by hand.
func stopSignal() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	return signals
}

func check(arguments []string) int {
	if len(arguments) != 1 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	connection, err := net.DialTimeout("tcp", arguments[0], 2*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	connection.Close()
	return 0
}
