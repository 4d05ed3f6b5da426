// Command client puts load on a chat completions endpoint and prints one JSON object: rates,
// percentiles and outcomes.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"strings"
	"time"
)

type options struct {
	url, model           string
	connections, count   int
	duration, ramp       time.Duration
	promptBytes          int
	stream, usage, stamp bool
	abort                bool
	detail               string
	maxTokens            int
	refusalPause         time.Duration
	keys                 int
	headers              headers
}

// headers is a flag that may be repeated: `name: value`.
type headers [][2]string

func (h *headers) String() string { return "" }

func (h *headers) Set(line string) error {
	name, value, _ := strings.Cut(line, ":")
	*h = append(*h, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	return nil
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.url, "url", "http://127.0.0.1:9800/v1/chat/completions", "where to send requests")
	flag.StringVar(&o.model, "model", "gpt-4o-mini", "model to ask for")
	flag.IntVar(&o.connections, "connections", 16, "connections, each with one request at a time")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "begin no request after this time")
	flag.IntVar(&o.count, "count", 0, "begin no more requests than this; 0: no bound")
	flag.DurationVar(&o.ramp, "ramp", 0, "spread the start of the connections over this time")
	flag.IntVar(&o.promptBytes, "prompt-bytes", 200, "size of the prompt")
	flag.BoolVar(&o.stream, "stream", false, "ask for a stream")
	flag.BoolVar(&o.usage, "usage", true, "ask for usage in streams, as most clients do")
	flag.BoolVar(&o.stamp, "stamp", false, "report how late each chunk is that the provider has stamped (same machine)")
	flag.BoolVar(&o.abort, "abort", false, "break off what is open at the end of the time")
	flag.StringVar(&o.detail, "detail", "", "report on each request, and name it (x-bench-id) with this `prefix`")
	flag.IntVar(&o.maxTokens, "max-tokens", 0, "max_completion_tokens to send; 0: none")
	flag.DurationVar(&o.refusalPause, "refusal-pause", 0, "wait after a response with status 429, as a client that backs off")
	flag.IntVar(&o.keys, "keys", 0, "name this many teams (x-team) in turn; 0: none")
	flag.Var(&o.headers, "header", "an extra header, `name: value`")
	flag.Parse()
	if err := json.NewEncoder(os.Stdout).Encode(run(o)); err != nil {
		log.Fatal(err)
	}
}
