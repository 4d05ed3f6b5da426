package main

import (
	"net/http"
	"strconv"
	"time"
)

// Each word is one o200k token.
var words = []string{" sun", " rain", " wind", " snow", " river", " stone", " tree", " bird", " house", " road"}

const (
	identity   = `"id":"chatcmpl-bench0001","created":1760000000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_0123456789"`
	chunkStart = `data: {` + identity + `,"object":"chat.completion.chunk",`
)

func (p plan) usage() []byte {
	out := append([]byte(nil), `"usage":{"prompt_tokens":`...)
	out = strconv.AppendInt(out, int64(p.promptTokens), 10)
	out = append(out, `,"completion_tokens":`...)
	out = strconv.AppendInt(out, int64(p.chunks), 10)
	out = append(out, `,"total_tokens":`...)
	out = strconv.AppendInt(out, int64(p.promptTokens+p.chunks), 10)
	return append(out, '}')
}

func writeWhole(w http.ResponseWriter, p plan, entry *entry) {
	time.Sleep(p.pace)
	out := p.completion()
	if p.messages {
		out = p.message()
	}
	w.Header().Set("content-type", "application/json")
	entry.produced(p.chunks)
	if _, err := w.Write(out); err == nil {
		entry.finish()
	}
}

// writeUnavailable asks for an immediate retry, so that a gateway lets the model rest for no time.
func writeUnavailable(w http.ResponseWriter) {
	w.Header().Set("content-type", "application/json")
	w.Header().Set("retry-after-ms", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"error":{"message":"The model is unavailable.","type":"server_error","param":null,"code":null}}`))
}

func (p plan) completion() []byte {
	out := append(make([]byte, 0, 512+8*p.chunks), `{`+identity+`,"object":"chat.completion","choices":[{"index":0,"logprobs":null,"message":{"role":"assistant","content":"`...)
	for i := range p.chunks {
		out = append(out, words[i%len(words)]...)
	}
	out = append(out, `"},"finish_reason":"`...)
	out = append(out, p.finish...)
	out = append(out, `"}],`...)
	return append(append(out, p.usage()...), '}')
}

func writeStream(w http.ResponseWriter, r *http.Request, p plan, entry *entry) {
	w.Header().Set("content-type", "text/event-stream")
	flusher := w.(http.Flusher)
	gone := r.Context().Done()
	ticker := newPace(p.pace)
	defer ticker.stop()
	line := make([]byte, 0, 512)
	chunk, end := p.chunk, p.end
	if p.messages {
		chunk, end = p.event, p.messageEnd
		line = p.messageStart(line)
	}
	for i := range p.chunks {
		line = chunk(line, i)
		if _, err := w.Write(line); err != nil {
			return
		}
		flusher.Flush()
		entry.produced(1)
		line = line[:0]
		if !ticker.wait(gone) {
			return
		}
	}
	if _, err := w.Write(end(line)); err == nil {
		entry.finish()
	}
}

// chunk appends the chunk with one word.
func (p plan) chunk(line []byte, i int) []byte {
	line = append(line, chunkStart...)
	if p.stamped {
		line = strconv.AppendInt(append(line, `"ts":`...), time.Now().UnixNano(), 10)
		line = append(line, ',')
	}
	line = append(line, `"choices":[{"index":0,"delta":{"content":"`...)
	line = append(line, words[i%len(words)]...)
	return append(line, "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"...)
}

// end appends the chunks after the last word.
func (p plan) end(line []byte) []byte {
	line = append(append(append(line, chunkStart+`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"`...), p.finish...), "\"}]}\n\n"...)
	if p.withUsage {
		line = append(append(append(line, chunkStart+`"choices":[],`...), p.usage()...), "}\n\n"...)
	}
	return append(line, "data: [DONE]\n\n"...)
}

// pace spaces the chunks of a stream by an interval, or does nothing without one.
type pace struct{ ticker *time.Ticker }

func newPace(interval time.Duration) pace {
	if interval <= 0 {
		return pace{}
	}
	return pace{time.NewTicker(interval)}
}

func (p pace) wait(gone <-chan struct{}) bool {
	if p.ticker == nil {
		select {
		case <-gone:
			return false
		default:
			return true
		}
	}
	select {
	case <-gone:
		return false
	case <-p.ticker.C:
		return true
	}
}

func (p pace) stop() {
	if p.ticker != nil {
		p.ticker.Stop()
	}
}
