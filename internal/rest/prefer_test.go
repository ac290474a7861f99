package rest

import (
	"testing"
	"time"
)

func TestReadPrefer(t *testing.T) {
	const max = 30 * time.Second
	for header, want := range map[string]struct {
		limit   time.Duration
		applied string
	}{
		"":                                   {max, ""},
		"respond-async":                      {0, "respond-async"},
		"Respond-Async, wait=10":             {10 * time.Second, "respond-async, wait=10"},
		"wait = 5; strict=true":              {5 * time.Second, "wait=5"},
		`wait="7"`:                           {7 * time.Second, "wait=7"},
		"wait=3, wait=9":                     {3 * time.Second, "wait=3"},
		"wait=0":                             {0, "wait=0"},
		"wait=3600":                          {max, "wait=30"},
		"wait=-1, wait=x, wait, wait=1.5":    {max, ""},
		"return=minimal, handling=lenient,,": {max, ""},
	} {
		p := ReadPrefer(header)
		if p.Limit(max) != want.limit || p.Applied(max) != want.applied {
			t.Errorf("%q: %v %q, want %v", header, p.Limit(max), p.Applied(max), want)
		}
	}
}
