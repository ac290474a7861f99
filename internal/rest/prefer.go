package rest

import (
	"strconv"
	"strings"
	"time"
)

// Preferences are what the header Prefer asks of a slow call (RFC 7240).
type Preferences struct {
	async bool
	wait  time.Duration // negative: not sent
}

// ReadPrefer reads the preferences that this server supports. Others, and invalid
// values, are ignored, as the standard requires; if a preference is sent twice, the
// first counts.
func ReadPrefer(header string) Preferences {
	p := Preferences{wait: -1}
	for preference := range strings.SplitSeq(header, ",") {
		word, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(word, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			p.async = true
		case "wait":
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil && p.wait < 0 {
				p.wait = time.Duration(seconds) * time.Second
			}
		}
	}
	return p
}

// Limit returns how long to wait, at most max.
func (p Preferences) Limit(max time.Duration) time.Duration {
	switch {
	case p.wait >= 0:
		return min(p.wait, max)
	case p.async:
		return 0
	}
	return max
}

// Applied returns the value of the header Preference-Applied, with the time that the
// server was ready to wait: at most max.
func (p Preferences) Applied(max time.Duration) string {
	var words []string
	if p.async {
		words = append(words, "respond-async")
	}
	if p.wait >= 0 {
		words = append(words, "wait="+strconv.Itoa(int(p.Limit(max)/time.Second)))
	}
	return strings.Join(words, ", ")
}
