// Command provider is a model provider for measurements: chat completions of OpenAI and messages of
// Anthropic with one token per chunk, unary or streamed, at any pace, and a model that is always
// unavailable. It records the truth that a gateway is compared with: what
// it produced for each named request, and when its connection was closed.
package main

import (
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9800", "address to listen on")
	defaults := plan{}
	flag.IntVar(&defaults.chunks, "chunks", 100, "output tokens of a response; header x-bench-chunks overrides it")
	flag.DurationVar(&defaults.pace, "pace", 0, "time from one chunk to the next; header x-bench-pace overrides it")
	flag.IntVar(&defaults.promptTokens, "prompt-tokens", 25, "prompt tokens that usage reports; header x-bench-prompt-tokens overrides it")
	flag.Parse()
	requests := newRequestLog()
	http.HandleFunc("GET /requests", requests.serve)
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		wanted := defaults.with(r, body)
		if wanted.unavailable {
			writeUnavailable(w)
		} else if wanted.stream {
			requests.record(r, wanted, func(entry *entry) { writeStream(w, r, wanted, entry) })
		} else {
			requests.record(r, wanted, func(entry *entry) { writeWhole(w, wanted, entry) })
		}
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}

// plan describes the response to one request.
type plan struct {
	chunks, promptTokens       int
	pace                       time.Duration
	stream, withUsage, stamped bool
	unavailable, messages      bool
	finish                     string
	id                         string
}

func (p plan) with(r *http.Request, body []byte) plan {
	header := r.Header
	if value, err := strconv.Atoi(header.Get("x-bench-chunks")); err == nil {
		p.chunks = value
	}
	if value, err := strconv.Atoi(header.Get("x-bench-prompt-tokens")); err == nil {
		p.promptTokens = value
	}
	if value, err := time.ParseDuration(header.Get("x-bench-pace")); err == nil {
		p.pace = value
	}
	p.stamped = header.Get("x-bench-stamp") != ""
	p.id = header.Get("x-bench-id")
	p.messages = strings.HasSuffix(r.URL.Path, "/messages")
	fields := readBody(body)
	p.unavailable = fields.unavailable
	p.stream, p.withUsage, p.finish = fields.stream, fields.withUsage, "stop"
	if fields.maxTokens >= 0 && fields.maxTokens < p.chunks {
		p.chunks, p.finish = fields.maxTokens, "length"
	}
	return p
}
