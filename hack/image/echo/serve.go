package main

import (
	"flag"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var page = template.Must(template.New("page").Parse(`<!doctype html>
<title>{{.Name}}</title>
<h1>{{.Name}}</h1>
<p>This instance belongs to <b>{{.User}}</b>.</p>
<dl><dt>uid</dt><dd>{{.UID}}</dd><dt>seed</dt><dd>{{.Seed}}</dd></dl>
`))

type options struct {
	http, tcp, udp, upstream string
	delay, exitAfter         time.Duration
	closeAfter               time.Duration
	exitCode                 int
	ignoreSigterm            bool
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&o.http, "http", ":8080", "address of the HTTP service; empty for none")
	flags.StringVar(&o.tcp, "tcp", ":9000", "address of the TCP service; empty for none")
	flags.StringVar(&o.udp, "udp", ":9000", "address of the UDP service; empty for none")
	flags.StringVar(&o.upstream, "upstream", "", "TCP service of another echo, whose answer is told too")
	flags.DurationVar(&o.delay, "delay", 0, "how long to wait before listening")
	flags.DurationVar(&o.exitAfter, "exit-after", 0, "how long to run; 0 for ever")
	flags.DurationVar(&o.closeAfter, "close-after", 0, "when to stop listening, and run on; 0 for never")
	flags.IntVar(&o.exitCode, "exit-code", 0, "exit code with -exit-after")
	flags.BoolVar(&o.ignoreSigterm, "ignore-sigterm", false, "run on when asked to stop")
	return o, flags.Parse(arguments)
}

// serve runs the services until it is told to stop, and returns the exit code.
func serve(arguments []string) int {
	o, err := parse(arguments)
	if err != nil {
		return 2
	}
	stop := stopSignal()
	if o.ignoreSigterm {
		signal.Ignore(syscall.SIGTERM)
	}
	var end <-chan time.Time
	if o.exitAfter > 0 {
		end = time.After(o.exitAfter)
	}
	fmt.Printf("echo: uid=%s name=%s http=%s tcp=%s\n",
		os.Getenv("INSTANCE_UID"), os.Getenv("INSTANCE_NAME"), o.http, o.tcp)
	failed := make(chan error, 2)
	listen := time.After(o.delay)
	for {
		select {
		case <-listen:
			start(o, failed)
		case <-stop:
			return 0
		case <-end:
			return o.exitCode
		case err := <-failed:
			fmt.Fprintln(os.Stderr, "echo:", err)
			return 1
		}
	}
}

func start(o options, failed chan<- error) {
	if o.closeAfter > 0 {
		time.AfterFunc(o.closeAfter, closeAll)
	}
	if o.http != "" {
		go func() { failed <- serveHTTP(o.http, o.upstream) }()
	}
	if o.tcp != "" {
		go func() { failed <- serveTCP(o.tcp, o.upstream) }()
	}
	if o.udp != "" {
		go func() { failed <- serveUDP(o.udp, o.upstream) }()
	}
}

func serveHTTP(address, upstream string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /identity", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(whoami(upstream).line())
	})
	mux.HandleFunc("GET /upstream", func(w http.ResponseWriter, r *http.Request) {
		answer := whoami(upstream)
		if answer.Upstream == nil {
			http.Error(w, answer.Error, http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer.Upstream)
	})
	misbehave(mux)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page.Execute(w, whoami(upstream))
	})
	listener, err := listen(address)
	if err != nil {
		return err
	}
	return unlessClosed(http.Serve(listener, mux))
}

// serveTCP answers each connection with one line and closes it, as `nc` likes.
func serveTCP(address, upstream string) error {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return unlessClosed(err)
		}
		go func() {
			defer connection.Close()
			connection.Write(whoami(upstream).line())
		}()
	}
}

// serveUDP answers each datagram, whatever is in it, with one line.
func serveUDP(address, upstream string) error {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	buffer := make([]byte, 1500)
	for {
		_, sender, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		go socket.WriteTo(whoami(upstream).line(), sender)
	}
}
