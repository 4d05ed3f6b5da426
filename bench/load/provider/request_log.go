package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The maximum number of named requests that are kept.
const keptRequests = 20_000

// entry records one request that named itself (x-bench-id). A nil entry records nothing.
type entry struct {
	Id       string `json:"id"`
	Chunks   int    `json:"chunks"`
	Finished bool   `json:"finished"`
	// When the handler ended; for an unfinished request, when its connection was seen closed.
	EndedNs int64 `json:"endedNs"`
}

func (e *entry) produced(chunks int) {
	if e != nil {
		e.Chunks += chunks
	}
}

func (e *entry) finish() {
	if e != nil {
		e.Finished = true
	}
}

type requestLog struct {
	lock    sync.Mutex
	entries []entry
}

func newRequestLog() *requestLog { return &requestLog{} }

func (l *requestLog) record(r *http.Request, p plan, answer func(*entry)) {
	if p.id == "" {
		answer(nil)
		return
	}
	one := entry{Id: p.id}
	defer func() {
		one.EndedNs = time.Now().UnixNano()
		l.lock.Lock()
		defer l.lock.Unlock()
		if len(l.entries) < keptRequests {
			l.entries = append(l.entries, one)
		}
	}()
	answer(&one)
}

// serve returns and forgets the requests whose id begins with the query's prefix.
func (l *requestLog) serve(w http.ResponseWriter, r *http.Request) {
	prefix := r.URL.Query().Get("prefix")
	found, rest := []entry{}, []entry{}
	l.lock.Lock()
	for _, one := range l.entries {
		if strings.HasPrefix(one.Id, prefix) {
			found = append(found, one)
		} else {
			rest = append(rest, one)
		}
	}
	l.entries = rest
	l.lock.Unlock()
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(found)
}
