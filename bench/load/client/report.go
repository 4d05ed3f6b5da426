package main

import (
	"slices"
	"time"
)

// tally is what one connection has seen.
type tally struct {
	latencyMs, firstByteMs, chunkDelayMs []float64
	outcomes                             map[string]int
	bytes                                int64
	details                              []finished
}

func (t *tally) add(one finished) {
	if t.outcomes == nil {
		t.outcomes = map[string]int{}
	}
	t.outcomes[one.outcome]++
	t.bytes += one.bytes
	if one.outcome == "200" {
		t.latencyMs = append(t.latencyMs, milliseconds(one.latency))
		t.firstByteMs = append(t.firstByteMs, milliseconds(one.firstByte))
	}
	if one.Id != "" {
		one.Outcome = one.outcome
		t.details = append(t.details, one)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

type percentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

type report struct {
	Seconds float64 `json:"seconds"`
	// Requests that received a complete 200 response.
	Requests          int            `json:"requests"`
	RequestsPerSecond float64        `json:"requestsPerSecond"`
	LatencyMs         percentiles    `json:"latencyMs"`
	FirstByteMs       percentiles    `json:"firstByteMs"`
	ChunkDelayMs      percentiles    `json:"chunkDelayMs"`
	Bytes             int64          `json:"bytes"`
	Outcomes          map[string]int `json:"outcomes"`
	Details           []finished     `json:"details,omitempty"`
}

func summary(tallies []tally, elapsed time.Duration) report {
	all := tally{}
	result := report{Seconds: elapsed.Seconds(), Outcomes: map[string]int{}}
	for _, one := range tallies {
		all.latencyMs = append(all.latencyMs, one.latencyMs...)
		all.firstByteMs = append(all.firstByteMs, one.firstByteMs...)
		all.chunkDelayMs = append(all.chunkDelayMs, one.chunkDelayMs...)
		result.Details = append(result.Details, one.details...)
		result.Bytes += one.bytes
		for outcome, count := range one.outcomes {
			result.Outcomes[outcome] += count
		}
	}
	result.Requests = len(all.latencyMs)
	result.RequestsPerSecond = float64(result.Requests) / elapsed.Seconds()
	result.LatencyMs = percentilesOf(all.latencyMs)
	result.FirstByteMs = percentilesOf(all.firstByteMs)
	result.ChunkDelayMs = percentilesOf(all.chunkDelayMs)
	return result
}

func percentilesOf(values []float64) percentiles {
	if len(values) == 0 {
		return percentiles{}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(share*float64(len(values)-1))] }
	return percentiles{Count: len(values), P50: at(.5), P90: at(.9), P99: at(.99), Max: at(1)}
}
