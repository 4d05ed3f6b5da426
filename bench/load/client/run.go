package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// run puts the load on and waits for its end.
func run(o options) report {
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: o.connections,
		DisableCompression:  true,
		ReadBufferSize:      16 << 10,
	}}
	load := load{options: o, client: client, body: requestBody(o), start: time.Now()}
	load.end = load.start.Add(o.duration)
	ctx, cancel := context.WithCancel(context.Background())
	if o.abort {
		ctx, cancel = context.WithDeadline(context.Background(), load.end)
	}
	defer cancel()
	tallies := make([]tally, o.connections)
	var running sync.WaitGroup
	for i := range tallies {
		running.Add(1)
		go func() {
			defer running.Done()
			load.connection(ctx, i, &tallies[i])
		}()
	}
	running.Wait()
	return summary(tallies, time.Since(load.start))
}

type load struct {
	options
	client     *http.Client
	body       []byte
	start, end time.Time
	begun      atomic.Int64
	asked      atomic.Int64
}

// connection sends one request after the other.
func (l *load) connection(ctx context.Context, index int, into *tally) {
	time.Sleep(l.ramp * time.Duration(index) / time.Duration(l.connections))
	for number := 0; time.Now().Before(l.end); number++ {
		if l.count > 0 && l.begun.Add(1) > int64(l.count) {
			return
		}
		id := ""
		if l.detail != "" {
			id = l.detail + strconv.Itoa(index) + "-" + strconv.Itoa(number)
		}
		one := l.request(ctx, id, into)
		if l.abort && ctx.Err() != nil {
			one.outcome = "aborted"
		}
		into.add(one)
		if one.outcome == "429" {
			time.Sleep(l.refusalPause)
		}
	}
}
