package main

import "testing"

func TestPercentiles(t *testing.T) {
	values := []float64{}
	for i := 100; i >= 0; i-- {
		values = append(values, float64(i))
	}
	if got, want := percentilesOf(values), (percentiles{Count: 101, P50: 50, P90: 90, P99: 99, Max: 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := percentilesOf(nil); got != (percentiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestOnlyWholeAnswersCount(t *testing.T) {
	one := tally{}
	for _, outcome := range []string{"200", "200-broken", "503", "200"} {
		one.add(finished{outcome: outcome})
	}
	got := summary([]tally{one}, 2e9)
	if got.Requests != 2 || got.RequestsPerSecond != 1 || got.Outcomes["200-broken"] != 1 || got.Outcomes["503"] != 1 {
		t.Errorf("got %+v", got)
	}
}
