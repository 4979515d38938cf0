package main

import (
	"errors"
	"net"
	"net/http"
	"sync"
)

var (
	listening sync.Mutex
	listeners []net.Listener
)

// listen is net.Listen for a service that closeAll can end.
func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		listening.Lock()
		defer listening.Unlock()
		listeners = append(listeners, listener)
	}
	return listener, err
}

// closeAll has nobody listen any more, as a service does that has broken.
func closeAll() {
	listening.Lock()
	defer listening.Unlock()
	for _, listener := range listeners {
		listener.Close()
	}
}

// unlessClosed is the error that ended a service, or waits for ever when closeAll did.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		select {}
	}
	return err
}

// misbehave adds pages that no prober should fall for.
func misbehave(mux *http.ServeMux) {
	mux.HandleFunc("GET /endless", func(w http.ResponseWriter, r *http.Request) {
		for chunk := make([]byte, 65536); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
}
