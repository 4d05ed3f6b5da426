package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const sentence = "Tell me about the quick brown fox. "

func requestBody(o options) []byte {
	prompt := strings.Repeat(sentence, o.promptBytes/len(sentence)+1)[:o.promptBytes]
	quoted, _ := json.Marshal(prompt)
	model, _ := json.Marshal(o.model)
	out := append([]byte(`{"model":`), model...)
	out = append(append(append(out, `,"messages":[{"role":"user","content":`...), quoted...), `}]`...)
	if o.maxTokens > 0 {
		out = strconv.AppendInt(append(out, `,"max_completion_tokens":`...), int64(o.maxTokens), 10)
	}
	if o.stream {
		out = append(out, `,"stream":true`...)
		if o.usage {
			out = append(out, `,"stream_options":{"include_usage":true}`...)
		}
	}
	return append(out, '}')
}

// finished is the result of one request.
type finished struct {
	Id string `json:"id,omitempty"`
	// The status, with `-broken` if the body broke off, or `error` without a response.
	outcome     string
	Outcome     string `json:"outcome"`
	latency     time.Duration
	firstByte   time.Duration
	bytes       int64
	Chunks      int    `json:"chunks"`
	FirstByteNs int64  `json:"firstByteNs"`
	LastStampNs int64  `json:"lastStampNs"`
	BegunNs     int64  `json:"begunNs"`
	EndedNs     int64  `json:"endedNs"`
	Finish      string `json:"finish,omitempty"`
	Remaining   string `json:"remaining,omitempty"`
}

func (l *load) request(ctx context.Context, id string, into *tally) (one finished) {
	one.Id, one.outcome = id, "error"
	begun := time.Now()
	one.BegunNs = begun.UnixNano()
	defer func() {
		now := time.Now()
		one.latency, one.EndedNs = now.Sub(begun), now.UnixNano()
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(l.body))
	if err != nil {
		return one
	}
	request.Header.Set("content-type", "application/json")
	request.Header.Set("authorization", "Bearer sk-bench")
	if id != "" {
		request.Header.Set("x-bench-id", id)
	}
	for _, header := range l.headers {
		request.Header.Set(header[0], header[1])
	}
	if l.keys > 0 {
		request.Header.Set("x-team", "team-"+strconv.FormatInt(l.asked.Add(1)%int64(l.keys), 10))
	}
	response, err := l.client.Do(request)
	if err != nil {
		return one
	}
	defer response.Body.Close()
	one.outcome = strconv.Itoa(response.StatusCode)
	one.Remaining = response.Header.Get("x-ratelimit-remaining-tokens")
	body := bufio.NewReaderSize(response.Body, 16<<10)
	if _, err = body.Peek(1); err == nil {
		one.firstByte = time.Since(begun)
		one.FirstByteNs = begun.Add(one.firstByte).UnixNano()
		err = l.readBody(body, &one, into)
	}
	if err != nil && err != io.EOF {
		one.outcome += "-broken"
	}
	return one
}

var (
	stampKey   = []byte(`"ts":`)
	contentKey = []byte(`"content":"`)
	finishKey  = []byte(`"finish_reason":"`)
)

func (l *load) readBody(body *bufio.Reader, one *finished, into *tally) error {
	if !l.stamp && l.detail == "" {
		n, err := io.Copy(io.Discard, body)
		one.bytes = n
		return err
	}
	for {
		line, err := body.ReadSlice('\n')
		one.bytes += int64(len(line))
		if at := bytes.Index(line, stampKey); at >= 0 && len(line) >= at+len(stampKey)+19 {
			if stamp, bad := strconv.ParseInt(string(line[at+len(stampKey):at+len(stampKey)+19]), 10, 64); bad == nil {
				one.LastStampNs = stamp
				if l.stamp {
					into.chunkDelayMs = append(into.chunkDelayMs, float64(time.Now().UnixNano()-stamp)/1e6)
				}
			}
		}
		if bytes.Contains(line, contentKey) {
			one.Chunks++
		}
		if at := bytes.Index(line, finishKey); at >= 0 {
			rest := line[at+len(finishKey):]
			if end := bytes.IndexByte(rest, '"'); end >= 0 {
				one.Finish = string(rest[:end])
			}
		}
		if err != nil {
			return err
		}
	}
}
