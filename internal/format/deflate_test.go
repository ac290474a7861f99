package format

import (
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

func TestDeflateSurvivesAPanic(t *testing.T) {
	b := &block{flate: new(flate.Writer), in: []byte("x")} // not initialized
	if err := b.compress(); err == nil || !strings.Contains(err.Error(), "panic") || !strings.Contains(err.Error(), "deflate.go") {
		t.Errorf("got %v, want the panic and its stack", err)
	}
}
