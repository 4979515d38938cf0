package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"time"
)

// identity is whose container this is, from its environment.
type identity struct {
	UID       string          `json:"uid"`
	Name      string          `json:"name"`
	User      string          `json:"user"`
	Seed      string          `json:"seed"`
	Container string          `json:"container"`
	Upstream  json.RawMessage `json:"upstream,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// whoami reads the environment and, with an upstream, asks that one too.
func whoami(upstream string) identity {
	hostname, _ := os.Hostname()
	answer := identity{
		UID:       os.Getenv("INSTANCE_UID"),
		Name:      os.Getenv("INSTANCE_NAME"),
		User:      os.Getenv("CHALLENGE_USER_ID"),
		Seed:      os.Getenv("CHALLENGE_SEED"),
		Container: hostname,
	}
	if upstream != "" {
		line, err := ask(upstream)
		if err != nil {
			answer.Error = err.Error()
		} else {
			answer.Upstream = line
		}
	}
	return answer
}

// ask reads the one line that another echo's TCP service answers with.
func ask(address string) (json.RawMessage, error) {
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(connection).ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return json.RawMessage(line), nil
}

func (i identity) line() []byte {
	text, err := json.Marshal(i)
	if err != nil {
		text, _ = json.Marshal(identity{Error: err.Error()})
	}
	return append(text, '\n')
}
