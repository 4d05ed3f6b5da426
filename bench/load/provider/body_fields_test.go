package main

import (
	"strings"
	"testing"
)

func TestReadBody(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	cases := []struct {
		body string
		want bodyFields
	}{
		{`{"model":"m","messages":[]}`, bodyFields{maxTokens: -1}},
		{`{"model":"m","stream": true,"stream_options":{"include_usage":true}}`, bodyFields{stream: true, withUsage: true, maxTokens: -1}},
		{`{"model": "unavailable"}`, bodyFields{unavailable: true, maxTokens: -1}},
		{`{"stream":false,"max_tokens":7}`, bodyFields{maxTokens: 7}},
		{`{"max_completion_tokens" : 12,"messages":"` + long + `","stream":true}`, bodyFields{stream: true, maxTokens: 12}},
	}
	for _, one := range cases {
		if got := readBody([]byte(one.body)); got != one.want {
			t.Errorf("%.60s: got %+v, want %+v", one.body, got, one.want)
		}
	}
}
