// kstatus reads objects as JSON from its standard input, one after the other, and prints for each
// what the libraries make of it by which GitOps tools wait: Kubernetes' own, and Flux' fork of it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Flux    string `json:"flux"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer) error {
	input, output := json.NewDecoder(from), json.NewEncoder(to)
	for {
		var text json.RawMessage
		if err := input.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		found, err := compute(text)
		if err != nil {
			return err
		}
		if err := output.Encode(found); err != nil {
			return err
		}
	}
}

func compute(text []byte) (*answer, error) {
	object := &unstructured.Unstructured{}
	// Not the standard library's: whole numbers must be integers, as a client has them.
	if err := kjson.Unmarshal(text, &object.Object); err != nil {
		return nil, err
	}
	upstream, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	fork, err := flux.Compute(object)
	if err != nil {
		return nil, err
	}
	return &answer{upstream.Status.String(), upstream.Message, fork.Status.String()}, nil
}
