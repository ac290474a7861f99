package problem

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	candidates := []string{"email", "Full_Name", strings.Repeat("x", 101)}
	for name, want := range map[string]string{
		"emial": "email", "EMAIL": "email", "full_nam": "Full_Name", "created_at": "", "": "",
		strings.Repeat("email", 100): "", strings.Repeat("x", 100): "",
	} {
		if got := Nearest(name, candidates); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
}
